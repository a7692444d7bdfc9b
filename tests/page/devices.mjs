// The cluster while one looks: a device goes and comes back.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { cluster, devices, endless, open, say, until } from './browser.mjs';

let here, page;
before(async () => {
    here = await open();
    page = here.page;
    await page.waitForSelector('.node');
});
after(() => here.browser.close());

const shown = (name) => page.locator('.device', { hasText: name });

test('the picture shows every device, the root, and who computes what', async () => {
    const state = await cluster();
    assert.equal(state.devices.length, 3);
    await page.waitForFunction(() => document.querySelectorAll('.node').length === 3);
    assert.equal(await page.locator('.node .crown').count(), 1);
    const label = await page.getAttribute('.picture svg', 'aria-label');
    const root = state.devices.find((device) => device.root);
    assert.match(label, new RegExp(`${root.name} leads`));
    for (const { name, slice } of state.devices) {
        const [begin, end] = slice.ffn_columns;
        assert.match(await shown(name).innerText(), new RegExp(`Columns\\s+${begin}–${end - 1}`));
    }
    assert.equal(await page.locator('.part').count(), 4);
    assert.equal(await page.locator('.part >> nth=2').locator('.segment').count(), 3);
    assert.match(await page.innerText('#models'), /tiny\s*loaded/);
    assert.match(await page.innerText('#models'), /File on dev1, dev2, dev3/);
});

test('a device that is killed greys out, the answer goes on, and it comes back', async () => {
    const length = async () => (await page.innerText('.assistant .text')).length;
    await endless(page);
    await say(page, 'Hello');
    await until('the answer has begun', async () => (await length()) > 2);
    await devices('kill');
    await page.waitForFunction(() =>
        document.querySelector('.device.gone')?.innerText.includes('dev3'),
    );
    assert.match(await shown('dev3').innerText(), /lost/);
    assert.equal(await page.locator('.node.gone').count(), 1);
    assert.match(await page.innerText('#announce'), /dev3 is lost/);
    assert.match(await page.innerText('#summary'), /^2 devices/);
    const before = await length();
    await until('the answer goes on', async () => (await length()) > before);
    await page.click('#stop');
    await devices('start');
    await page.waitForFunction(
        () =>
            document.querySelectorAll('.device').length === 3 &&
            !document.querySelector('.device.gone'),
    );
    assert.match(await page.innerText('#summary'), /^3 devices/);
});

test('what is wrong stands there with what to do', async () => {
    await page.waitForSelector('.warning');
    const shown = await page.innerText('#warnings');
    assert.match(shown, /Warning on dev1: no models are found in .*missing/);
    assert.match(shown, /make the folder, or set models.directories/);
    const { warnings } = await cluster();
    assert.equal(await page.locator('.warning').count(), warnings.length);
});

test('numbers change and what one has selected stays', async () => {
    await page.evaluate(() =>
        getSelection().selectAllChildren(document.querySelector('.device h4')),
    );
    const before = await page.evaluate(() => String(getSelection()));
    await new Promise((done) => setTimeout(done, 2500));
    assert.equal(await page.evaluate(() => String(getSelection())), before);
    assert.notEqual(before, '');
});

test('a hidden page holds no connection, and one that is seen again is up to date', async () => {
    const hide = (hidden) =>
        page.evaluate((value) => {
            Object.defineProperty(document, 'hidden', { value, configurable: true });
            document.dispatchEvent(new Event('visibilitychange'));
        }, hidden);
    const asked = [];
    page.on('request', (request) => asked.push(new URL(request.url()).pathname));
    const ended = page.waitForEvent('requestfailed', (request) =>
        request.url().endsWith('/v1/cluster'),
    );
    await hide(true);
    await ended;
    asked.length = 0;
    await new Promise((done) => setTimeout(done, 2500));
    assert.deepEqual(asked, []);
    await hide(false);
    await until('it asks again', () => asked.includes('/v1/cluster'));
});

test('when this device itself is gone the page says so, and goes on when it is back', async () => {
    assert.equal(await page.isVisible('#offline'), false);
    await devices('stop-all');
    await page.waitForFunction(() => !document.getElementById('offline').hidden);
    await devices('start-all');
    await page.waitForFunction(() => document.getElementById('offline').hidden);
});

test('nothing foreign was asked for', () => assert.deepEqual(here.foreign, []));
