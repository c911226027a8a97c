"""A signed-in person at the portal, as the client tests need one: makes a key and revokes it, by the same calls as the pages."""
import html.parser
import http.cookiejar
import json
import urllib.error
import urllib.parse
import urllib.request


class Portal:
    def __init__(self, address, sign_in, password):
        self.address = address
        jar = http.cookiejar.CookieJar()
        # Loopback only: a proxy in the environment is not meant.
        self.opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), urllib.request.HTTPCookieProcessor(jar))
        page = self.opener.open(address + "/auth/login?return_to=/", timeout=30)
        form = Form()
        form.feed(page.read().decode())
        fields = form.hidden | {form.person: sign_in, form.password: password}
        target = urllib.parse.urljoin(page.geturl(), form.action)
        done = self.opener.open(self.request(target, fields), timeout=30)
        if not any(cookie.name.endswith("sid") for cookie in jar):
            raise RuntimeError(f"{sign_in} could not sign in: {done.status} at {done.geturl()}")

    def request(self, url, fields, **headers):
        body = urllib.parse.urlencode(fields).encode()
        return urllib.request.Request(url, body, {"Origin": self.address, **headers})

    def send(self, function, fields):
        """A server function; its answer as JSON."""
        request = self.request(f"{self.address}/rpc/{function}", fields, Accept="application/json")
        try:
            text = self.opener.open(request, timeout=30).read().decode()
        except urllib.error.HTTPError as e:
            raise RuntimeError(f"{function} answered {e.code}: {e.read().decode()}") from e
        return json.loads(text) if text else None

    def create_key(self, tenant, label, **form):
        fields = {"label": label, "may": "all", "requests_per_minute": "", "tokens_per_minute": "", "expires_in_days": "1"} | form
        made = self.send("keys/create", {"tenant": tenant} | {f"form[{k}]": v for k, v in fields.items()})
        return made["key"]["id"], made["secret"]

    def revoke_key(self, tenant, key):
        self.send("keys/revoke", {"tenant": tenant, "key": key})


class Form(html.parser.HTMLParser):
    """The sign-in form: where it goes, and the names of its fields."""

    def __init__(self):
        super().__init__()
        self.action, self.hidden, self.person, self.password = "", {}, None, None

    def handle_starttag(self, tag, attributes):
        a = dict(attributes)
        if tag == "form" and a.get("method", "").lower() == "post":
            self.action = a.get("action", "")
        elif tag in ("input", "select") and a.get("name"):
            match a.get("type"):
                case "hidden":
                    self.hidden[a["name"]] = a.get("value", "")
                case "password":
                    self.password = a["name"]
                case "submit":
                    pass
                case _:
                    self.person = a["name"]
