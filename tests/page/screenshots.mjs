// README's pictures of the page; see screenshots.py.
import { answered, open, say } from './browser.mjs';

const folder = process.env.PICTURES;
const stories = ['One day, a small fox', 'Once upon a time, there was a rabbit who wanted to fly'];

const sizes = {
    desktop: { width: 1280, height: 840 },
    phone: { width: 360, height: 720 },
};

async function take(name, page, file) {
    // The links are measured, the numbers have settled, and the cursor does not blink.
    await page.waitForTimeout(3000);
    await page.evaluate(() => document.activeElement.blur());
    await page.screenshot({ path: `${folder}/${file ?? name}.png` });
}

for (const [name, size] of Object.entries(sizes)) {
    const { browser, page } = await open(size);
    await page.waitForFunction(() => document.querySelector('#model')?.value);
    await page.waitForFunction(() => document.querySelectorAll('.link:not(.guessed)').length === 3);
    for (const story of stories) {
        await say(page, story);
        await answered(page);
    }
    await take(name, page);
    if (name === 'phone') {
        await page.emulateMedia({ colorScheme: 'dark' });
        await page.click('a[href="#show-cluster"]');
        await take(name, page, 'phone-cluster');
    }
    await browser.close();
}
