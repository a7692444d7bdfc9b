// What one sees of a queue that one waits in.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { adds, answered, cluster, open, say, until, url } from './browser.mjs';

let here, page;
before(async () => {
    here = await open();
    page = here.page;
    await page.waitForFunction(() => document.querySelector('#model')?.value === 'tiny');
});
after(() => here.browser.close());

/** Asks from elsewhere; the answer ends when what is returned is called. */
function ask(fields) {
    const abort = new AbortController();
    fetch(`${url}/v1/completions`, {
        method: 'POST',
        headers: { 'Content-Type': 'application/json' },
        body: JSON.stringify({ model: 'tiny', prompt: 'Once', ignore_eos: true, ...fields }),
        signal: abort.signal,
    }).catch(() => {});
    return () => abort.abort();
}
const noteIs = (pattern) =>
    page.waitForFunction(
        (source) => new RegExp(source).test(document.querySelector('.assistant .note')?.innerText),
        pattern.source,
    );
const requests = async () => (await cluster()).requests;

test('the place in the queue and the wait are shown while one waits', async () => {
    await adds(page, { max_tokens: 5 });
    await say(page, 'First'); // from which the device knows how long answers take
    await answered(page);
    await page.click('#new-chat');
    const endFirst = ask({ max_tokens: -1 });
    await until('it runs', async () => (await requests()).running === 1);
    await say(page, 'Hello');
    await noteIs(/^Waiting: 1st in the queue, (about \d+ s|soon)$/);
    assert.match(await page.innerText('#announce'), /^1st in the queue, about \d+ s$/);
    await noteIs(/^Waiting: 1st in the queue, soon$/);
    const endSecond = ask({ max_tokens: -1, priority: -1 });
    await noteIs(/^Waiting: 2nd in the queue, (about \d+ s|soon)$/);
    endSecond();
    await until('it is gone', async () => (await requests()).queued === 1);
    endFirst();
    await answered(page);
    await noteIs(/^5 tokens/);
    assert.deepEqual(here.complaints, []);
});
