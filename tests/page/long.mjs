// A conversation of 1,000 messages.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { answered, answersAre, open, say } from './browser.mjs';

const COUNT = 1000;
const texts = { code: '```js\nlet a = 1;\n```', more: 'and more '.repeat(40) };
let here, page;
before(async () => {
    here = await open({ width: 360, height: 740 });
    page = here.page;
    await page.evaluate(
        ({ count, code, more }) => {
            const messages = Array.from({ length: count }, (_, i) =>
                i % 2 === 0
                    ? { role: 'user', content: `Question ${i}` }
                    : {
                          role: 'assistant',
                          content: `## Answer ${i}\n\n- one\n- two\n\n${code}\n\nSome **words** ${more}`,
                      },
            );
            localStorage.setItem(
                'shoal-conversation',
                JSON.stringify({ messages, settings: { system: '' }, model: 'tiny' }),
            );
        },
        { count: COUNT, ...texts },
    );
});
after(() => here.browser.close());

test('it is there soon, its end in sight, and typing is not slow', async () => {
    const begun = Date.now();
    await page.reload();
    await page.waitForFunction(
        (count) => document.querySelectorAll('.message').length === count,
        COUNT,
    );
    const took = Date.now() - begun;
    assert.ok(took < 10_000, `${took} ms`);
    await page.waitForFunction(() => document.querySelector('#model').value === 'tiny');
    const last = await page.locator('.message').last().boundingBox();
    assert.ok(last.y < 740, `the last message is at ${last.y}`);
    const slowest = await page.evaluate(async () => {
        const prompt = document.getElementById('prompt');
        let most = 0;
        for (const letter of 'A sentence that is typed') {
            const before = performance.now();
            prompt.value += letter;
            prompt.dispatchEvent(new Event('input'));
            await new Promise(requestAnimationFrame);
            most = Math.max(most, performance.now() - before);
        }
        return most;
    });
    assert.ok(slowest < 1000, `${slowest} ms for a letter`);
});

test('what is too long for the model is said by the device, in words', async () => {
    await say(page, 'Go on');
    await answered(page);
    assert.match(await page.locator('.assistant .wrong').last().innerText(), /context/);
});

test('an edit near its beginning and a new answer work as ever', async () => {
    await answersAre(page, 'Here.');
    await page.locator('.user >> nth=0').getByRole('button', { name: 'Edit' }).click();
    await page.fill('.edit textarea', 'Again');
    await page.getByRole('button', { name: 'Send anew' }).click();
    await answered(page);
    assert.equal(await page.locator('.message').count(), 2);
    assert.equal(await page.innerText('.assistant .text'), 'Here.');
});
