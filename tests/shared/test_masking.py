"""What a stranger sees keeps its meaning and loses its secrets."""

import random
import string
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.masking import MASK, mask_paths, mask_secrets, masked


LETTERS = string.ascii_letters + string.digits
BASE64 = LETTERS + "+/"
DICE = random.Random(7)


def random_text(length: int, alphabet: str = LETTERS) -> str:
    return "".join(DICE.choice(alphabet) for _ in range(length))


def upper(length: int) -> str:
    return random_text(length, string.ascii_uppercase + string.digits)


# Put together here, so that no scanner of this repository takes them for real.
VENDORS = {
    "aws": "AKIA" + upper(16),
    "aws-session": "ASIA" + upper(16),
    "github": "ghp_" + random_text(36),
    "github-oauth": "gho_" + random_text(36),
    "github-server": "ghs_" + random_text(36),
    "github-fine": "github_" + "pat_" + random_text(22) + "_" + random_text(59),
    "gitlab": "glpat-" + random_text(20),
    "slack-bot": "xoxb-" + "123456789012-" + random_text(24),
    "slack-user": "xoxp-" + "123456789012-" + random_text(24),
    "stripe": "sk_" + "live_" + random_text(24),
    "stripe-restricted": "rk_" + "test_" + random_text(24),
    "stripe-webhook": "whsec_" + random_text(32),
    "openai": "sk-" + random_text(48),
    "openai-project": "sk-" + "proj-" + random_text(40) + "-_" + random_text(20),
    "anthropic": "sk-" + "ant-api03-" + random_text(93) + "AA",
    "google": "AIza" + random_text(35),
    "npm": "npm_" + random_text(36),
    "pypi": "pypi-" + "AgEIcHlwaS5vcmc" + random_text(60),
    "ours": "osk_" + random_text(32),
    "jwt": "eyJhbGciOiJIUzI1NiJ9." + "eyJzdWIiOiIxIn0." + random_text(43),
    "sendgrid": "SG." + random_text(22) + "." + random_text(43),
    "unknown": random_text(40),
    "unknown-base64": random_text(40, BASE64) + "==",
}
AROUND = [
    "{}",
    "the key is {}.",
    '"{}"',
    "x='{}',",
    "(see {})",
    "[{}]",
    "<{}>",
    '\\"{}\\"',
    "{}\\nnext",
    "{}\nnext",
    "- {}\n",
]

PASSWORDS = ["hunter2", "correct-horse9", "P@ssw0rd!", "s3cr3t", "Tr0ub4dor&3"]
NAMED = [
    'password = "{}"',
    "password: '{}'",
    '"password": "{}"',
    "'password':'{}'",
    '{{\\"password\\": \\"{}\\"}}',
    '{{\\\\\\"password\\\\\\": \\\\\\"{}\\\\\\"}}',
    "PASSWORD={}",
    "PASSWORD = {}",
    "export DB_PASSWORD={}",
    "DB_PASS={}",
    "db_password: {}",
    "Password: {}",
    "passphrase: {}",
    "pwd={}",
    "my.secret={}",
    "dbPassword={}",
    "--password {}",
    "--password={}",
    "run --api-key {} now",
    'password := "{}"',
    'password <- "{}"',
    'password: str = "{}"',
    'String password = "{}";',
    'let password: &str = "{}";',
    'const char* password = "{}";',
    "\"secret\" => '{}'",
    'if password == "{}":',
    'os.environ["API_KEY"] = "{}"',
    'define("DB_PASSWORD", "{}")',
    "`password`: `{}`",
    "<password>{}</password>",
    "api_key: {}",
    'apiKey: "{}"',
    'client_secret="{}"',
    'aws_secret_access_key = "{}"',
    '"token":"{}"',
    "ACCESS_TOKEN: {}",
    "?access_token={}&x=1",
    "IDENTIFIED BY '{}'",
    "postgres://u:{}@host/db",
    "redis://:{}@host:1",
    "Authorization: Bearer {}",
    "Authorization: Basic {}",
    "-H 'Authorization: token {}'",
    'headers = {{"Authorization": "Bearer {}"}}',
    "x-api-key: {}",
    "Cookie: session={}",
    "Set-Cookie: a={}; Path=/",
    "curl -u bob:{} https://x.dev",
    "mysql -u root -p{} db",
    "sshpass -p {} ssh x",
    "the password is {}",
]

KEPT = """
import os, sys
from shared.errors import Invalid, Unprocessable
import { useInfiniteQuery } from "@tanstack/react-query";
class AbstractAuthenticationTokenProviderFactoryBean(BaseTokenFactory):
commit 9fceb02d0ae598e95dc970b74767f19372d61af8
sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855
"integrity": "sha512-z4PhNX7vuL3xVChQ1m2AB9Yg5AULVxXcg/SpIdNs6c5H0NE8XYXysP+DGNKHfu=="
id: 3f0c9a52-7d1e-4c55-9f3b-1f6f0c2b7a10
3f0c9a52-7d1e-4c55-9f3b-1f6f0c2b7a10-user-1795251698300
ses_e02a85e42ffeqmf6H83qgHKrZe msg_1fd57a230001mEP0HkOZn7kaBt toolu_01AbCdEfGh
max_tokens=4096, token_count: 12, "promptTokens": 4224
tokens = tokenizer.encode(text)
def login(user: str, password: str) -> Token:
password = getpass.getpass("Password: ")
password = request.form["password"]
const token = req.headers.authorization;
const token = await getAccessToken({ scope });
client = OpenAI(api_key=os.environ["OPENAI_API_KEY"])
password: ${DB_PASSWORD}
token: ${{ secrets.GITHUB_TOKEN }}
password: "{{ db_password }}"
private_key: /etc/ssl/private/server.pem
type Props = { password: string; token?: string };
PASSWORD_MIN_LENGTH = 8
MAX_TOKENS=4096
use basic authentication or a bearer token
the password must be at least eight characters
Error: Unexpected token < in JSON at position 0
a{color:#ff00aa;background:#FFF url(a.png)}.b-c_d:hover{margin:0 auto!important}
/usr/lib/python3.11/site-packages/hypothesis/internal/conjecture/engine.py
node_modules/.pnpm/@babel+core@7.23.0/node_modules/@babel/core/lib/index.js
https://github.com/example/project/blob/9fceb02d0ae598e95dc970b74767f19372d61af8/a.c
ALTER TABLE users ADD COLUMN password_hash varchar(255) NOT NULL;
git@github.com:example/project.git
<input type="password" name="password" autoComplete="current-password">
r"(?P<user>[^:]*)(?::(?P<password>[^/]*))?@"
case "token": return x;
self.token = token
setPassword(password)
0x71C7656EC7ab88b098defB751B7401B5f6d8976F
docker run -u 1000:1000 image
f"postgres://{user}:{password}@{host}"
-H "Authorization: Bearer $TOKEN"
headers={"Authorization": f"Bearer {token}"}
if line.startswith("-----BEGIN RSA PRIVATE KEY-----"):
"keywords": ["token", "password", "secret"],
return jwt.sign({ id }, secret, { expiresIn: "1h" })
const [password, setPassword] = useState("");
cookie: a small piece of data
password: string
token: Token
key = None
password=password
password: String!
password = user.password!
fe80:1234:ab:cd:ef
aa:12:bb:cc:dd:ee
""".strip().splitlines()


class TestSecrets:
    @pytest.mark.parametrize("around", AROUND)
    @pytest.mark.parametrize("secret", VENDORS.values(), ids=VENDORS)
    def test_a_known_shape_is_masked_wherever_it_stands(self, secret: str, around: str):
        assert mask_secrets(around.format(secret)) == around.format(MASK)

    @pytest.mark.parametrize("password", PASSWORDS)
    @pytest.mark.parametrize("named", NAMED)
    def test_what_is_called_a_secret_is_masked(self, named: str, password: str):
        shown = mask_secrets(named.format(password))
        assert password not in shown
        assert MASK in shown

    @pytest.mark.parametrize(
        ("text", "shown"),
        [
            ('{"api_key": "x1y2"}', '{"api_key": "[masked]"}'),
            ("DB_PASSWORD=hunter2 # local", "DB_PASSWORD=[masked] # local"),
            ("  password: hunter2", "  password: [masked]"),
            ("run --token a1b2c3 -v", "run --token [masked] -v"),
            ("postgres://u:p@h/d", "postgres://u:[masked]@h/d"),
            ("Authorization: Bearer x1y2", "Authorization: Bearer [masked]"),
            ("login(password='a b c')", "login(password='[masked]')"),
            ("Cookie: a=b; c=d\nHost: x", "Cookie: [masked]\nHost: x"),
        ],
    )
    def test_the_name_and_the_quotes_stay(self, text: str, shown: str):
        assert mask_secrets(text) == shown

    @pytest.mark.parametrize("newline", ["\n", "\\n", "\n  ", "\r\n"])
    @pytest.mark.parametrize("kind", ["RSA ", "EC ", "OPENSSH ", "", "ENCRYPTED "])
    def test_a_private_key_is_masked_whole(self, kind: str, newline: str):
        lines = [random_text(64, BASE64) for _ in range(5)]
        name = f"{kind}PRIVATE KEY-----"
        key = newline.join(["-----BEGIN " + name, *lines, "-----END " + name])
        assert mask_secrets(f"before {key} after") == f"before {MASK} after"

    def test_a_private_key_that_is_cut_off_is_masked(self):
        lines = [random_text(64, BASE64) for _ in range(5)]
        key = "\n".join(["-----BEGIN " + "RSA PRIVATE KEY-----", *lines])[:-20]
        assert mask_secrets(key) == MASK

    @pytest.mark.parametrize("line", KEPT)
    def test_ordinary_text_stays(self, line: str):
        assert mask_secrets(line) == line

    def test_a_file_of_ordinary_lines_stays(self):
        text = "\n".join(KEPT)
        assert mask_secrets(text) == text

    @pytest.mark.parametrize("alphabet", [LETTERS, BASE64, LETTERS + "-_"])
    @pytest.mark.parametrize("length", [24, 32, 40, 64])
    def test_random_text_is_masked_nearly_always(self, length: int, alphabet: str):
        texts = [random_text(length, alphabet) for _ in range(500)]
        missed = [text for text in texts if mask_secrets(text) == text]
        assert len(missed) < (50 if length == 24 else 25)

    @pytest.mark.parametrize(
        ("text", "shown"),
        [
            ("PASSWORD: passw0rdnl", "PASSWORD: [masked]"),
            ("password: MyPassw0rd!", "password: [masked]"),
            ("password: MyPassword!", "password: [masked]"),
            ("password: Pa$$word", "password: [masked]"),
            ("api_key=mykey42", "api_key=[masked]"),
            (
                "machine h login me password netrcpw77",
                "machine h login me password [masked]",
            ),
            (
                "machine h\n  login me\n  password hushhush\n",
                "machine h\n  login me\n  password [masked]\n",
            ),
            ("default login me password pw7", "default login me password [masked]"),
            ("localhost:5432:db:user:pgpassw1", "localhost:5432:db:user:[masked]"),
            ("*:*:*:me:hush\nh:5432:d:u:pw", "*:*:*:me:[masked]\nh:5432:d:u:[masked]"),
            (
                '[{"name":"DB_PASSWORD","value":"s3cr3tV4lue"}]',
                '[{"name":"DB_PASSWORD","value":"[masked]"}]',
            ),
            (
                "- name: DB_PASSWORD\n  value: s3cr3tV4lue",
                "- name: DB_PASSWORD\n  value: [masked]",
            ),
        ],
    )
    def test_a_secret_in_a_known_setting_is_masked(self, text: str, shown: str):
        assert mask_secrets(text) == shown


class TestPaths:
    @pytest.mark.parametrize(
        ("text", "shown"),
        [
            ("/home/bob/code/a.py", "~/code/a.py"),
            ("/Users/bob", "~"),
            ("/root/x", "~/x"),
            ("cd /root", "cd ~"),
            ("(see /home/bob).", "(see ~)."),
            ("/home/żółw/x", "~/x"),
            ("//home//bob//x", "~/x"),
            ("~bob/code", "~/code"),
            ("/mnt/c/Users/bob/code", "~/code"),
            ("/c/Users/bob/code", "~/code"),
            ("/var/home/bob/x", "~/x"),
            (r"C:\Users\bob", "~"),
            (r"C:\Users\bob\code\a.py", r"~\code\a.py"),
            (r"C:\\Users\\First Last\\code\\a.py", r"~\\code\\a.py"),
            ("c:/users/bob/code", "~/code"),
            (r"\\wsl.localhost\Ubuntu\home\bob\x", r"~\x"),
            (r"\/Users\/bob\/x", r"~\/x"),
            (r"first\n/home/bob/x\n", r"first\n~/x\n"),
            ("\x1b[32m/home/bob/x\x1b[0m", "\x1b[32m~/x\x1b[0m"),
            ("file:///home/bob/x", "file://~/x"),
            ("file:///C:/Users/bob/x", "file:///~/x"),
            ("?path=%2Fhome%2Fbob%2Fcode", "?path=~%2Fcode"),
            ("https://x.dev/?p=%2fUsers%2fbob", "https://x.dev/?p=~"),
            ("-I/home/bob/include", "-I~/include"),
            ("PATH=/usr/bin:/home/bob/bin", "PATH=…/bin:~/bin"),
            ("/home/bob/app/(auth)/data/a.tsx", "~/app/(auth)/data/a.tsx"),
            ("/home/bob/**/*.py", "~/**/*.py"),
            (
                "~/.claude/projects/-Users-bob-code/a.jsonl",
                "~/.claude/projects/~-code/a.jsonl",
            ),
            ('"-home-bob-code"', '"~-code"'),
            ("C--Users-bob-code", "~-code"),
        ],
    )
    def test_a_home_becomes_a_tilde(self, text: str, shown: str):
        assert mask_paths(text) == shown

    @pytest.mark.parametrize(
        ("text", "shown"),
        [
            ("/var/www/site/index.php:3", "…/site/index.php:3"),
            ("/srv/x", "…/x"),
            ("/scratch/alicewonder", "…/alicewonder"),
            ("/scratch/alicewonder/", "…/alicewonder/"),
            ("/scratch/alicewonder/run.sh", "…/alicewonder/run.sh"),
            ("/projects/alicewonder/app/b/c.py", "…/b/c.py"),
            ("/data2/x/y", "…/x/y"),
            ("/nix/store/abc/bin", "…/abc/bin"),
            ("/Applications/X.app/Contents", "…/X.app/Contents"),
            ("/code/alicewonder/src/main.py", "…/src/main.py"),
            ("/workdir/a/b", "…/a/b"),
            ("/users/1/posts", "…/1/posts"),
            ("+/code/alicewonder/src/a", "+…/src/a"),
            ("→/code/alicewonder/src/a", "→…/src/a"),
            ("curl -d @/code/alicewonder/src/a", "curl -d @…/src/a"),
            ("mcp__/home/alicewonder/x", "mcp__~/x"),
            ("mcp__/code/alicewonder/a/b", "mcp__…/a/b"),
            ("/workspace/acme/src/", "…/acme/src/"),
            ("see /etc/nginx/conf.d/a.conf.", "see …/conf.d/a.conf."),
            (r"D:\work\acme\src\a.c", r"…\src\a.c"),
            (r"\\server\share\acme\file", r"…\acme\file"),
            ("%2Fvar%2Fwww%2Fsite%2Fa", "…%2Fsite%2Fa"),
        ],
    )
    def test_another_absolute_path_keeps_its_end(self, text: str, shown: str):
        assert mask_paths(text) == shown

    @pytest.mark.parametrize(
        "text",
        [
            "https://github.com/home/bob/x",
            "http://localhost:3000/data/app/x",
            "src/home/page.tsx",
            "./data/x ../home/y ~/code/x",
            'import x from "@/app/lib/x"',
            "${ROOT}/data/x",
            "/srv",
            "/x /x/",
            "// a comment /* and */ /** another **/",
            "</tag><br/>",
            "s/a/b/ and/or 1/2/3",
            "/[a-z]+/g",
            "__tests__/a/b",
            "https://x.dev/code/alicewonder/a?b=c",
            "</root><data/>",
            "application/json 1/2 a / b",
            "git rebase -i --home-page",
            r"C:\ and \d+/\w+ and a:/b",
            r"r'(?P<user>[^\s:/]*)'",
            "2026/01/22 10:00",
        ],
    )
    def test_what_is_no_absolute_path_stays(self, text: str):
        assert mask_paths(text) == text


class TestMasked:
    def test_every_text_in_a_value_is_masked(self):
        value = {
            "text": "in /home/bob/x",
            "/home/bob/y": [{"deep": ("PASSWORD=hunter2")}],
            "count": 3,
            "none": None,
            "yes": True,
        }
        assert masked(value) == {
            "text": "in ~/x",
            "~/y": [{"deep": "PASSWORD=[masked]"}],
            "count": 3,
            "none": None,
            "yes": True,
        }

    @pytest.mark.parametrize("key", ["password", "API_KEY", "db.passwd", "authToken"])
    def test_under_the_name_of_a_secret_everything_goes(self, key: str):
        assert masked({key: "letmein"}) == {key: MASK}
        assert masked({"env": [{key: "a b c"}]}) == {"env": [{key: MASK}]}
        assert masked({key: ["letmein", {"a": 1}]}) == {key: [MASK, {"a": 1}]}

    @pytest.mark.parametrize("name", ["name", "key", "Name", "Key", "variable"])
    @pytest.mark.parametrize("value", ["value", "Value", "val"])
    @pytest.mark.parametrize("word", ["DB_PASSWORD", "SECRET_KEY", "AWS_KEY", "Cookie"])
    def test_the_value_beside_the_name_of_a_secret_goes(
        self, name: str, value: str, word: str
    ):
        pair = {name: word, value: "kvsecret1"}
        assert masked([pair]) == [{name: word, value: MASK}]
        assert masked({name: "colour", value: "red1"}) == {
            name: "colour",
            value: "red1",
        }

    def test_whatever_is_inside_a_secret_goes(self):
        inside = {"value": "yamlpass99", "of": [{"x": "a b"}], "on": True}
        shown = {"value": MASK, "of": [{"x": MASK}], "on": True}
        assert masked({"Password": inside}) == {"Password": shown}
        assert masked({"cookie": ["a=b"]}) == {"cookie": [MASK]}

    @pytest.mark.parametrize(
        "key", ["cookie", "Set-Cookie", "authorization", "Proxy-Authorization"]
    )
    def test_a_header_that_logs_in_goes(self, key: str):
        assert masked({key: "a plain text"}) == {key: MASK}

    @pytest.mark.parametrize("flag", ["--password", "--token", "--api-key", "--secret"])
    def test_the_argument_behind_a_secret_flag_goes(self, flag: str):
        assert masked(["mysql", flag, "listsecret", "db"]) == [
            "mysql",
            flag,
            MASK,
            "db",
        ]
        assert masked({"args": [flag, "pw"]}) == {"args": [flag, MASK]}
        assert masked([flag, "--verbose"]) == [flag, "--verbose"]

    def test_counts_of_tokens_stay(self):
        value = {"promptTokens": 5, "max_tokens": 7, "token": 9, "hasPassword": True}
        assert masked(value) == value

    @pytest.mark.parametrize("value", [None, 5, 1.5, True, "", [], {}, "plain text"])
    def test_a_harmless_value_stays(self, value: Any):
        assert masked(value) == value


FRAGMENTS = st.sampled_from(
    [
        *NAMED,
        *KEPT,
        *VENDORS.values(),
        MASK,
        MASK[:-1],
        "masked]",
        "password",
        "=",
        ":",
        ' "',
        "'",
        "\\",
        '\\"',
        "/home/bob",
        "C:\\Users\\bob",
        "\\\\srv\\share\\x",
        "~",
        "…",
        "%2F",
        "%",
        "/",
        "-home-bob",
        "https://u:",
        "+/code/bob/x",
        "mcp__/code/bob",
        "machine h login u password ",
        "h:5432:d:u:",
        "name: PASSWORD, value: ",
        "@",
        "\n",
        "\\n",
        "\ud83d",
    ]
)
TEXTS = st.lists(FRAGMENTS | st.text(st.characters()), max_size=12).map("".join)


@given(text=TEXTS)
def test_masking_twice_is_masking_once(text: str):
    for mask in (mask_secrets, mask_paths, masked):
        once = mask(text)
        assert mask(once) == once


@given(before=TEXTS, after=st.text(), secret=st.sampled_from([*VENDORS.values()]))
def test_a_planted_secret_never_survives(before: str, after: str, secret: str):
    assert secret not in mask_secrets(f"{before} {secret} {after}")


@given(
    value=st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | TEXTS,
        lambda inner: st.lists(inner) | st.dictionaries(TEXTS, inner, max_size=3),
        max_leaves=6,
    )
)
def test_any_value_can_be_masked(value: Any):
    masked(value)


HOSTILE = [
    "a",
    "/",
    "\\",
    '"',
    "-",
    " ",
    "a1",
    "é",
    MASK,
    "password",
    "password=",
    "password: {",
    "-----BEGIN PRIVATE KEY-----",
    "-----BEGIN PRIVATE KEY-----\n",
    "http://a:",
    "%2F",
    "mysql ",
    "cookie: a=b;",
    "/home",
    "\\\\ab\\cd",
    "eyJaaaaaaaa.",
    "~/",
    "machine h login ",
    "h:5432:d:u:",
    "name: password value: ",
    "a__/",
    random_text(30) + " ",
]


@pytest.mark.parametrize("fragment", HOSTILE)
def test_hostile_text_takes_linear_time(fragment: str):
    """Two megabytes take seconds, where backtracking would take days."""
    text = fragment * (2_000_000 // len(fragment))
    began = time.perf_counter()
    masked(text)
    assert time.perf_counter() - began < 20
