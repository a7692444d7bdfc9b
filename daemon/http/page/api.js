// Requests to this device, with the key that one has typed, and what comes of them.

const KEPT_KEY = 'shoal-key';
let key = sessionStorage.getItem(KEPT_KEY) ?? '';
let asking = null;
let askForKey = () => Promise.resolve('');

/** `ask(wrong)` gives a key, or '' when there is none to be had. */
export function onKeyWanted(ask) {
    askForKey = ask;
}

/** What the device refused, in its own words. */
export class Refused extends Error {
    constructor(status, message) {
        super(message);
        this.status = status;
    }
}

async function refusal(response) {
    const text = await response.text();
    try {
        const { error } = JSON.parse(text);
        return new Refused(response.status, error.message ?? String(error));
    } catch {
        return new Refused(response.status, `the device answered with status ${response.status}`);
    }
}

// Several requests may find out at once that a key is wanted; one question is enough.
async function anotherKey(used) {
    if (used !== key) return;
    asking ??= askForKey(used !== '').finally(() => (asking = null));
    key = await asking;
    if (key === '') sessionStorage.removeItem(KEPT_KEY);
    else sessionStorage.setItem(KEPT_KEY, key);
}

/** Paths are relative, so that a proxy may serve the page below another one. */
export async function request(path, { body, accept = 'application/json', signal } = {}) {
    for (;;) {
        const used = key;
        const headers = { Accept: accept };
        if (used) headers.Authorization = `Bearer ${used}`;
        if (body) headers['Content-Type'] = 'application/json';
        const response = await fetch(path, {
            method: body ? 'POST' : 'GET',
            headers,
            signal,
            cache: 'no-store',
            credentials: 'omit',
            body: body && JSON.stringify(body),
        });
        if (response.ok) return response;
        const refused = await refusal(response);
        if (refused.status !== 401) throw refused;
        await anotherKey(used);
        if (key === '') throw refused;
    }
}

export async function json(path, options) {
    return (await request(path, options)).json();
}

/** The server-sent events of a response: {data} or {comment}, each of one line as shoald has it. */
export async function* events(response) {
    const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
    let rest = '';
    for (;;) {
        const { value, done } = await reader.read();
        if (done) return;
        const whole = (rest + value).split('\n\n');
        rest = whole.pop();
        for (const event of whole) {
            for (const line of event.split('\n')) {
                if (line.startsWith('data: ')) yield { data: line.slice(6) };
                else if (line.startsWith(': ')) yield { comment: line.slice(2) };
            }
        }
    }
}
