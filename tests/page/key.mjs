// A daemon with an API key.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { answered, open, say } from './browser.mjs';

const key = process.env.SHOAL_KEY;
let here, page;
before(async () => {
    here = await open();
    page = here.page;
});
after(() => here.browser.close());

test('a wrong key is refused, the right one opens the page, and the tab alone has it', async () => {
    await page.waitForSelector('#key-dialog[open]');
    assert.equal(await page.evaluate(() => document.activeElement.id), 'key');
    assert.equal(await page.isVisible('#key-wrong'), false);
    assert.equal(await page.locator('.node').count(), 0);
    await page.fill('#key', 'wrong');
    await page.keyboard.press('Enter');
    await page.waitForSelector('#key-wrong', { state: 'visible' });
    await page.fill('#key', key);
    await page.keyboard.press('Enter');
    await page.waitForSelector('.node');
    assert.equal(await page.isVisible('#key-dialog'), false);
    assert.deepEqual(await page.evaluate(() => Object.values(sessionStorage)), [key]);
    assert.equal(await page.evaluate(() => localStorage.length), 0);
    assert.equal(await page.evaluate(() => document.cookie), '');
});

test('a loaded page with the key answers, and asks for none again in this tab', async () => {
    await page.reload();
    await page.waitForSelector('.node');
    assert.equal(await page.isVisible('#key-dialog'), false);
    await page.click('#show-settings');
    await page.fill('#max_tokens', '3');
    await say(page, 'Hello');
    await answered(page);
    assert.match(await page.innerText('.assistant .note'), /3 tokens/);
});

test('one may leave the question alone with Escape, and is told what then', async () => {
    const other = await here.browser.newContext();
    const fresh = await other.newPage();
    await fresh.goto(process.env.SHOAL_URL);
    await fresh.waitForSelector('#key-dialog[open]');
    await fresh.keyboard.press('Escape');
    await fresh.waitForSelector('#offline', { state: 'visible' });
    assert.match(await fresh.innerText('#offline'), /Without its key/);
    await fresh.getByRole('button', { name: 'Type the key' }).click();
    await fresh.waitForSelector('#key-dialog[open]');
    await fresh.fill('#key', key);
    await fresh.keyboard.press('Enter');
    await fresh.waitForSelector('.node');
    assert.equal(await fresh.isVisible('#offline'), false);
    await other.close();
});
