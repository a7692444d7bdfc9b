// The chat as one uses it.
import assert from 'node:assert/strict';
import { after, before, beforeEach, test } from 'node:test';
import { answered, answersAre, cluster, endless, open, say, until } from './browser.mjs';

let here, page;
before(async () => {
    here = await open();
    page = here.page;
});
after(() => here.browser.close());
beforeEach(async () => {
    await page.unrouteAll();
    await page.goto('about:blank');
    await page.goto(process.env.SHOAL_URL);
    await page.waitForFunction(() => document.querySelector('#model')?.value === 'tiny');
});

const texts = (role) => page.$$eval(`.${role} .text`, (all) => all.map((one) => one.innerText));

test('an answer streams, and says what it took', async () => {
    await page.click('#show-settings');
    await page.fill('#max_tokens', '12');
    await say(page, 'Hello');
    await answered(page);
    assert.deepEqual(await texts('user'), ['Hello']);
    assert.match(
        await page.innerText('.assistant .note'),
        /^12 tokens · .* tokens\/s · first after/,
    );
    assert.equal(await page.isVisible('#stop'), false);
    assert.equal(await page.innerText('#announce'), 'The answer is complete');
});

test('what is typed into the settings is what is asked for', async () => {
    const bodies = [];
    page.on('request', (request) => {
        if (request.url().endsWith('/v1/chat/completions')) bodies.push(request.postDataJSON());
    });
    await page.click('#show-settings');
    await page.fill('#system', 'Be brief.');
    await page.fill('#temperature', '0');
    await page.fill('#seed', '7');
    await page.fill('#max_tokens', '4');
    await page.selectOption('#think', 'false');
    await say(page, 'Hello');
    await answered(page);
    assert.deepEqual(bodies, [
        {
            temperature: 0,
            seed: 7,
            max_tokens: 4,
            think: false,
            model: 'tiny',
            stream: true,
            stream_options: { include_usage: true },
            messages: [
                { role: 'system', content: 'Be brief.' },
                { role: 'user', content: 'Hello' },
            ],
        },
    ]);
});

test('a value that the device refuses is named', async () => {
    await page.click('#show-settings');
    await page.fill('#temperature', '1000');
    await say(page, 'Hello');
    await answered(page);
    assert.match(await page.innerText('.assistant .wrong'), /temperature is 1000/);
});

test('Stop ends the answer here and in the cluster, and what came stays', async () => {
    await endless(page);
    await say(page, 'Hello');
    await page.waitForFunction(
        () => document.querySelector('.assistant .text').innerText.length > 2,
    );
    await until('it is running', async () => (await cluster()).requests.running === 1);
    await page.click('#stop');
    await answered(page);
    await until('nothing runs', async () => (await cluster()).requests.running === 0);
    const [text] = await texts('assistant');
    assert.ok(text.length > 2);
    await new Promise((done) => setTimeout(done, 300));
    assert.deepEqual(await texts('assistant'), [text]);
    assert.equal(await page.isVisible('.assistant .wrong'), false);
});

test('a message is edited and asked anew; an answer is made again', async () => {
    await answersAre(page, 'Fine.');
    await say(page, 'One');
    await answered(page);
    await say(page, 'Two');
    await answered(page);
    assert.deepEqual(await texts('user'), ['One', 'Two']);
    await page.locator('.user >> nth=0').getByRole('button', { name: 'Edit' }).click();
    await page.fill('.edit textarea', 'Three');
    await page.getByRole('button', { name: 'Send anew' }).click();
    await answered(page);
    assert.deepEqual(await texts('user'), ['Three']);
    assert.deepEqual(await texts('assistant'), ['Fine.']);
    await page.unrouteAll();
    await answersAre(page, 'Better.');
    await page.getByRole('button', { name: 'Regenerate' }).click();
    await answered(page);
    assert.deepEqual(await texts('assistant'), ['Better.']);
});

test('a model without a chat template goes on with the text', async () => {
    const asked = [];
    page.on('request', (request) => {
        if (request.method() === 'POST' && request.url().includes('/v1/')) {
            asked.push([new URL(request.url()).pathname, request.postDataJSON().prompt]);
        }
    });
    await page.selectOption('#model', 'plain');
    await page.waitForFunction(() =>
        document.querySelector('#prompt').placeholder.startsWith('Begin a text'),
    );
    await page.click('#show-settings');
    await page.fill('#max_tokens', '5');
    await say(page, 'Once');
    await answered(page);
    const [first] = await page.evaluate(() =>
        import('/page/conversation.js').then(({ conversation }) =>
            conversation.messages.slice(1).map((m) => m.content),
        ),
    );
    await say(page, 'Twice');
    await answered(page);
    assert.deepEqual(asked, [
        ['/v1/completions', 'Once'],
        ['/v1/completions', `Once${first}\nTwice`],
    ]);
    await page.selectOption('#model', 'tiny');
    await page.fill('#max_tokens', '1');
    await say(page, 'Back');
    await answered(page);
    assert.equal(asked[2][0], '/v1/chat/completions');
});

test('what the model thinks is folded, and unfolds', async () => {
    // The template of this model closes no thought by itself; the grammar does.
    await answersAre(page, '<think>\nA secret.\n</think>\n\nThe answer.');
    await say(page, 'Hello');
    await answered(page);
    assert.deepEqual(await texts('assistant'), ['The answer.']);
    assert.equal(await page.isVisible('.thoughts'), false);
    await page.click('.reasoning summary');
    assert.equal((await page.innerText('.thoughts')).trim(), 'A secret.');
});

test('a conversation stays in the browser if one wants that, and only then', async () => {
    await answersAre(page, 'Kept.');
    await say(page, 'Hello');
    await answered(page);
    assert.equal(await page.evaluate(() => localStorage.length), 0);
    await page.click('#show-settings');
    await page.check('#keep');
    await page.reload();
    assert.deepEqual(await texts('assistant'), ['Kept.']);
    await page.click('#show-settings');
    await page.uncheck('#keep');
    await page.reload();
    assert.deepEqual(await texts('assistant'), []);
});

test('all of it can be done with the keyboard', async () => {
    await answersAre(page, 'Yes.');
    await page.keyboard.press('Tab');
    await page.keyboard.press('Enter'); // to the message
    assert.equal(await page.evaluate(() => document.activeElement.id), 'prompt');
    await page.keyboard.type('By hand');
    await page.keyboard.press('Enter');
    await answered(page);
    assert.deepEqual(await texts('assistant'), ['Yes.']);
    for (let i = 0; i < 40; i++) {
        await page.keyboard.press('Shift+Tab');
        if (await page.evaluate(() => document.activeElement.innerText === 'Regenerate')) break;
    }
    await page.keyboard.press('Enter');
    await answered(page);
    assert.deepEqual(await texts('user'), ['By hand']);
});

test('nothing foreign was asked for', () => assert.deepEqual(here.foreign, []));
