"""Shapes: what secrets look like by themselves, whatever stands around them."""

_CHAR = r"[A-Za-z0-9_-]"

PRIVATE_KEY = (
    r"-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----"
    r"(?:(?:[^-]|-{1,4}[^-])*-----END [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----"
    # Cut off before its end: every line that still looks like the key's body.
    r"|(?:(?:\\[nr]|[\s\"'`,>|+])*[A-Za-z0-9+/=]{16,})+(?:\\[nr]|\s)*[A-Za-z0-9+/=]*)"
)

VENDORS = (
    r"(?:A3T[A-Z0-9]|AKIA|ASIA|ABIA|ACCA)[A-Z0-9]{16}",  # AWS
    r"gh[pousr]_[A-Za-z0-9]{16,}",  # GitHub
    r"github_pat_\w{16,}",
    rf"gl(?:pat|ptt|dt|rt|rtr|cbt|soat|ft|imt|agent|oas|ffct)-{_CHAR}{{12,}}",  # GitLab
    rf"xox[a-z](?:\.xox[a-z])?-{_CHAR}{{8,}}|xapp-{_CHAR}{{16,}}",  # Slack
    r"(?:sk|rk)_(?:live|test|prod)_[A-Za-z0-9]{8,}",  # Stripe
    r"whsec_[A-Za-z0-9+/=_-]{12,}",
    rf"sk-(?:ant|proj|svcacct|admin|or-v1|lf|None)-{_CHAR}{{8,}}",
    r"sk-[A-Za-z0-9]{16,}",  # OpenAI and the many who copied it
    rf"AIza{_CHAR}{{30,}}|ya29\.[A-Za-z0-9._-]{{16,}}|GOCSPX-{_CHAR}{{16,}}",  # Google
    r"npm_[A-Za-z0-9]{16,}",
    rf"pypi-{_CHAR}{{16,}}",
    rf"osk_{_CHAR}{{6,}}",  # our own
    rf"eyJ{_CHAR}{{8,}}\.{_CHAR}{{4,}}(?:\.{_CHAR}*){{0,3}}",  # JWT
    rf"SG\.{_CHAR}{{16,}}\.{_CHAR}{{16,}}",  # SendGrid
    r"hf_[A-Za-z0-9]{16,}|gsk_[A-Za-z0-9]{16,}|xai-[A-Za-z0-9]{16,}|r8_\w{16,}",
    rf"(?:nvapi|pplx|tvly|xkeysib|NRAK|PMAK|ops_eyJ|figd_|dckr_pat_)-?{_CHAR}{{16,}}",
    rf"(?:glsa|lin_api|ntn|sbp|sntrys|sntryu|phx|rubygems|doo_v1|re|fm2)_{_CHAR}{{20,}}",
    r"do[oprt]_v1_[a-f0-9]{32,}|shp(?:at|ca|pa|ss)_[a-fA-F0-9]{16,}|dapi[a-f0-9]{32}",
    rf"hv[sbr]\.{_CHAR}{{16,}}|sq0[a-z]{{3}}-{_CHAR}{{16,}}|AGE-SECRET-KEY-1[A-Z0-9]+",
    r"(?:AC|SK)[a-f0-9]{32}|key-[a-f0-9]{32}|[a-f0-9]{32}-us\d{1,2}",
    rf"\d{{8,10}}:AA{_CHAR}{{30,}}",  # Telegram
)
VENDOR = rf"\b(?:{'|'.join(VENDORS)})"

WEBHOOK = (
    r"(?i)(\bhooks\.slack\.com/(?:services|workflows|triggers)/"
    r"|\bdiscord(?:app)?\.com/api/webhooks/|\bapi\.telegram\.org/bot"
    r"|\.webhook\.office\.com/webhookb2/)([^\s\"'`<>)\]\\]{12,})"
)
URL_LOGIN = r"(\b[A-Za-z][A-Za-z0-9+.-]*://[^\s/:@\"'`<>\\]*:)([^\s/\"'`<>\\]+)@"

# Strong names say that the value is secret; weak ones are also used for other things.
STRONG = (
    r"passwords?|passwd|passphrase|passcode|(?:\b|[_-])pass|(?:\b|_)pwd?|secrets?"
    r"|credentials?|connection[_-]?string"
    r"|(?:api|access|secret|private|signing|encryption|account|auth|master|shared"
    r"|storage|deploy|license|service|app|sas|ssh)[ _-]?key(?:[_-]?id|[_-]?data)?"
    r"|(?:access|auth|refresh|bearer|id|session|bot|api|private|personal)[_-]?token"
)
WEAK = r"token|jwt|signature|\bsig|otp|dsn"
NAME = rf"[\w.$-]*(?:{STRONG}|{WEAK})(?:_?\d+)?"
TYPED = r"(?:[ \t]*:[ \t]*[&*\w.\[\]<>|?, ]{1,40}?|[ \t]+[*\w.\[\]]{1,30})?"
"""A type between a name and its value, as many languages write it."""

_VALUE = (
    r"(?:[A-Za-z@$]{0,2}\"((?:[^\"\\\r\n]|\\.)+)"
    r"|\\+\"((?:[^\"\\\r\n]|\\[^\"\r\n])+)"  # JSON within JSON
    r"|[A-Za-z]{0,2}\\*'((?:[^'\\\r\n]|\\.)+)"
    r"|\\*`((?:[^`\\]|\\.)+)"
    r"|([^\s\"'`&<>\\]+))"
)
_BARE = r"[^\s\"'`\\]+"
ASSIGNMENT = (
    rf"(?i)(\b{NAME}(?:[\"'`\]\\]+|[?!]?{TYPED})"
    rf"[ \t]*(?:=>|:=|<-|[=!]?={{1,2}}|:)[ \t]*){_VALUE}"
)
VARIABLE = (
    r"[A-Z0-9_]*(?:PASSWORD|PASSWD|PASSPHRASE|PASS|PWD|SECRET|TOKEN|KEY|CREDENTIALS?"
    r"|DSN|AUTH|COOKIE|SALT)(?:_?\d+|_B64|_BASE64|_ID)?"
)
ENVIRONMENT = rf"(\b{VARIABLE}=)({_BARE})"
HEADER = r"(?:proxy-)?authorization|(?:set-)?cookies?"
NAMED = (
    rf"(?i)(\b(?:name|key|variable)[\"'\\]*[ \t]*[:=][ \t]*[\"'\\]*(?:{NAME})"
    r"[\"'\\]*\s*,?\s*[\"'\\]*\bval(?:ue)?[\"'\\]*[ \t]*[:=][ \t]*)"
    rf"{_VALUE}"
)
FLAG = rf"(?i)(\B--?[\w-]*(?:{STRONG}|{WEAK})[ \t]+){_VALUE}"
PAIR = (
    rf"(?i)(\b{NAME}(?:\\*[\"'`][ \t]*,[ \t]*|\([ \t]*)\\*[\"'`])"
    r"([^\s\"'`<>\\()]{4,})"
)
PROSE = rf"(?i)(\b{NAME}[ \t]+(?:is|was)[ \t:]+[\"'`]?)([^\s\"'`<>\\()]{{4,}})"
ELEMENT = rf"(?i)((?:^|[^?P])<(?:[\w-]+:)?{NAME}(?:\s[^<>]{{0,200}})?>\s*)([^<>\r\n]+)"
SQL = r"(?i)(\b(?:identified(?:\s+with\s+\w+)?\s+by|password)\s+')([^'\r\n]+)"
_GAP = r"(?:\s|\\+[nrt])+"
NETRC = (
    rf"(\b(?:machine{_GAP}{_BARE}|default){_GAP}"
    rf"(?:(?:login|account){_GAP}{_BARE}{_GAP})*password{_GAP})({_BARE})"
)
PGPASS = (
    r"((?:^|[\s\"'`]|\\n)[\w.*-]+:(?:\d{4,5}|\*):[A-Za-z_*][\w.*$-]*:[\w.*$@-]+:)"
    r"((?:[^\s\"'`\\:]|\\[:\\])+)"
)
COMMANDS = (
    rf"(\s(?:-u|--user|--proxy-user)[ \t=]+[\"']?[^\s:\"'@/\\]+:)({_BARE})",
    rf"(\b(?:mysql|mysqldump|mysqladmin|mariadb)\s[^\n|;&]*?\s?-p[\"']?)({_BARE})",
    rf"(\bsshpass\s+-p\s*[\"']?|\bredis-cli\s[^\n|;&]*?-a\s+[\"']?)({_BARE})",
    rf"(\b(?:docker|podman|helm|az|npm)\s[^\n|;&]*?login\s[^\n|;&]*?-p\s+[\"']?)({_BARE})",
)
AUTHORIZATION = (
    r"(?i)(\bauthorization\\*[\"']?\s*[:=,]\s*\\*(?:[a-z]{0,2}[\"'`])?"
    r"(?:(?:bearer|basic|token|digest|apikey|negotiate)[ \t]+)?)([^\s\"'`,;<>\\]+)"
)
BEARER = r"(?i)(\b(?:bearer|basic)[ \t]+)([A-Za-z0-9._~+/=-]{8,})"
COOKIE = (
    r"(?i)(\b(?:set-)?cookie\\*[\"']?\s*[:=]\s*\\*[\"'`]?)"
    r"([\w.-]+=(?:[^\s\"'`\\<>;]*;?[ \t]*)(?:[\w.-]+(?:=[^\"'`\\\s<>;]*)?;?[ \t]*)*)"
)

HARMLESS = (
    r"\bsha(?:1|256|384|512)[-:=][A-Za-z0-9+/]+={0,2}|\bh1:[A-Za-z0-9+/]+="
    # Names that agents give to what they do: the same on both sides of a call.
    r"|\b(?:toolu|tooluse|srvtoolu|call|msg|ses|prt|req|resp|chatcmpl|run|thread|step"
    r"|fc|rs|gen|evt)[_-][A-Za-z0-9]+"
)
LONG = rf"({HARMLESS})|([A-Za-z0-9_+/-]{{24,}}={{0,2}})"
