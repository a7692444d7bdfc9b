// The page: what belongs to neither the chat nor the cluster.
import { onKeyWanted } from './api.js';
import { onAnswer, setUpChat } from './chat.js';
import { addAnswer, redraw, watch } from './cluster.js';
import { byId } from './dom.js';

/** The dialog, until a key is typed or one gives up. */
function askForKey(wrong) {
    const dialog = byId('key-dialog');
    byId('key-wrong').hidden = !wrong;
    byId('key').value = '';
    dialog.returnValue = '';
    dialog.showModal();
    byId('key').focus();
    return new Promise((done) =>
        dialog.addEventListener('close', () => done(dialog.returnValue), { once: true }),
    );
}

function setUpKey() {
    byId('key-form').addEventListener('submit', (event) => {
        event.preventDefault();
        byId('key-dialog').close(byId('key').value.trim());
    });
    byId('key-cancel').addEventListener('click', () => byId('key-dialog').close(''));
    onKeyWanted(askForKey);
}

/** On a narrow screen one of the two is shown, by the address's end. It is no element's id: browsers
 *  would scroll to that. */
function showView() {
    const view = location.hash === '#show-cluster' ? 'cluster' : 'chat';
    document.body.dataset.view = view;
    for (const a of document.querySelectorAll('.views a')) {
        if (a.hash === `#show-${view}`) a.setAttribute('aria-current', 'page');
        else a.removeAttribute('aria-current');
    }
    redraw();
}

addEventListener('hashchange', showView);
new ResizeObserver(redraw).observe(byId('picture'));
setUpKey();
setUpChat();
onAnswer(addAnswer);
showView();
watch();
