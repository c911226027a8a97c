// A signed-in person at the portal, as the client tests need one: makes a key and revokes it, by the same calls as the pages.

export class Portal {
  #cookies = new Map();

  constructor(address) {
    this.address = address;
  }

  static async signIn(address, name, password) {
    const portal = new Portal(address);
    const { url, text } = await portal.#follow(`${address}/auth/login?return_to=/`);
    const form = text.match(/<form[^>]*method="post"[^>]*>[\s\S]*?<\/form>/i)?.[0] ?? '';
    const fields = new URLSearchParams();
    for (const [tag] of form.matchAll(/<(?:input|select)\b[^>]*>/g)) {
      const type = attribute(tag, 'type');
      if (!attribute(tag, 'name') || type === 'submit') continue;
      const value = type === 'hidden' ? attribute(tag, 'value') : type === 'password' ? password : name;
      fields.set(attribute(tag, 'name'), value ?? '');
    }
    const done = await portal.#follow(new URL(attribute(form, 'action') ?? '', url), { method: 'POST', body: fields });
    if (![...portal.#cookies.keys()].some((c) => c.endsWith('sid'))) throw new Error(`${name} could not sign in: ${done.status} at ${done.url}`);
    return portal;
  }

  /** A server function; its answer as JSON. */
  async send(name, fields) {
    const answer = await this.#fetch(`${this.address}/rpc/${name}`, { method: 'POST', body: new URLSearchParams(fields), headers: { accept: 'application/json' } });
    const text = await answer.text();
    if (answer.status >= 400) throw new Error(`${name} answered ${answer.status}: ${text}`);
    return text ? JSON.parse(text) : null;
  }

  async createKey(tenant, label, more = {}) {
    const form = { label, may: 'all', requests_per_minute: '', tokens_per_minute: '', expires_in_days: '1', ...more };
    const made = await this.send('keys/create', [['tenant', tenant], ...Object.entries(form).map(([k, v]) => [`form[${k}]`, v])]);
    return { id: made.key.id, secret: made.secret };
  }

  async revokeKey(tenant, key) {
    await this.send('keys/revoke', { tenant, key });
  }

  async #fetch(url, init = {}) {
    const cookie = [...this.#cookies].map(([k, v]) => `${k}=${v}`).join('; ');
    const answer = await fetch(url, { redirect: 'manual', ...init, headers: { ...init.headers, cookie, origin: this.address } });
    for (const line of answer.headers.getSetCookie()) {
      const [pair] = line.split(';');
      const at = pair.indexOf('=');
      if (/max-age=0/i.test(line)) this.#cookies.delete(pair.slice(0, at));
      else this.#cookies.set(pair.slice(0, at), pair.slice(at + 1));
    }
    return answer;
  }

  async #follow(url, init) {
    let answer = await this.#fetch(url, init);
    for (let i = 0; i < 10 && answer.status >= 300 && answer.status < 400; i += 1) {
      url = new URL(answer.headers.get('location'), url);
      answer = await this.#fetch(url);
    }
    return { url, status: answer.status, text: await answer.text() };
  }
}

function attribute(tag, name) {
  const value = tag.match(new RegExp(`\\s${name}="([^"]*)"`))?.[1];
  const signs = { '&quot;': '"', '&#x27;': "'", '&#39;': "'", '&lt;': '<', '&gt;': '>', '&amp;': '&' };
  return value?.replace(/&(?:quot|#x27|#39|lt|gt|amp);/g, (sign) => signs[sign]);
}
