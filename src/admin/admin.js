// Keys for the pages. Nothing needs this script: every key is a link, a field or a row that is there without it.
'use strict';

(() => {
    const OFF = 'seatkeeper-keys-off';
    // Storage may be turned off in the browser.
    const stored = () => { try { return localStorage.getItem(OFF); } catch { return null; } };
    const store = (value) => { try { localStorage.setItem(OFF, value); } catch { /* then it lasts for this page */ } };
    let off = stored() === 'yes';
    let pending = 0;

    const go = (selector) => {
        const link = document.querySelector(selector);
        if (link) link.click();
        return Boolean(link);
    };

    const rows = () => [...document.querySelectorAll('main tbody tr')].filter((row) => row.querySelector('a, button, input'));

    const move = (step) => {
        const all = rows();
        const now = all.findIndex((row) => row.contains(document.activeElement));
        const row = all[now < 0 ? (step > 0 ? 0 : all.length - 1) : Math.min(Math.max(now + step, 0), all.length - 1)];
        if (row) (row.querySelector('a') || row.querySelector('button, input')).focus();
        return Boolean(row);
    };

    // Ticks the box of the row that has the focus.
    const tick = () => {
        const row = rows().find((each) => each.contains(document.activeElement));
        const box = row && row.querySelector('input[type="checkbox"]');
        if (box) box.click();
        return Boolean(box);
    };

    const act = (key) => {
        if (pending && Date.now() - pending < 2000) {
            pending = 0;
            return /^[a-z]$/.test(key) && go(`[data-key="g ${key}"]`);
        }
        pending = 0;
        switch (key) {
            case '?': return go('[data-key="?"]');
            case '/': {
                const field = document.getElementById('q');
                if (field) { field.focus(); field.select(); }
                return Boolean(field);
            }
            case 'g': pending = Date.now(); return true;
            case 'j': return move(1);
            case 'k': return move(-1);
            case 'x': return tick();
            case 'n': return go('[data-key="n"]');
            case 'e': return go('[data-key="e"]');
            default: return false;
        }
    };

    document.addEventListener('keydown', (event) => {
        const typing = event.target.closest && event.target.closest('input:not([type="checkbox"]), select, textarea, [contenteditable]');
        if (event.key === 'Escape' && typing && typing.id === 'q') typing.blur();
        if (off || typing || event.ctrlKey || event.altKey || event.metaKey || event.isComposing) return;
        if (act(event.key)) event.preventDefault();
    });

    // A second press of a button must not send a form again while the first is under way.
    document.addEventListener('submit', (event) => {
        const form = event.target;
        if (form.method !== 'post') return;
        if (form.dataset.sent) event.preventDefault();
        form.dataset.sent = 'yes';
    });
    window.addEventListener('pageshow', () => document.querySelectorAll('form').forEach((form) => delete form.dataset.sent));

    // One box that ticks all boxes of its table.
    document.querySelectorAll('[data-all]').forEach((box) => {
        box.closest('label').hidden = false;
        box.addEventListener('change', () => {
            document.querySelectorAll(`input[name="${box.dataset.all}"]`).forEach((other) => { other.checked = box.checked; });
        });
    });

    // The switch on the page about keys.
    const place = document.getElementById('keys-switch');
    if (place) {
        const button = document.createElement('button');
        const label = () => { button.textContent = off ? place.dataset.on : place.dataset.off; };
        button.type = 'button';
        button.addEventListener('click', () => { off = !off; store(off ? 'yes' : 'no'); label(); });
        label();
        place.append(button);
    }
})();
