//! Requests under way, the oldest first, which follow what happens and keep the focus.

use std::collections::VecDeque;

use serde_json::json;

use super::Page;
use crate::harness::{Client, until};

/// Requests that wait for a server: more than the page shows.
const HUNG: usize = 25;

pub(super) fn are_shown(page: &Page<'_>) {
    page.shows("#under-way", "No request that is recorded is under way.");
    let under_way = || page.server.api_get("http/requests_under_way/?limit=100");
    let mut clients: VecDeque<Client> = VecDeque::new();
    for number in 0..HUNG {
        let mut client = page.server.client();
        let line = format!("GET /hang?{number}<b> HTTP/1.1\r\nHost: first.test\r\n\r\n");
        client.send(&line);
        clients.push_back(client);
        // The oldest ones are shown, so their order has to be known.
        until("a request under way", || under_way().as_array().unwrap().len() == number + 1);
    }
    page.shows("#under-way-count", "the oldest 20, and 5 more");
    page.wait("document.querySelectorAll('#under-way tbody tr').length === 20");
    page.shows("#under-way tr:first-child .plain", "GET /hang?0<b> HTTP/1.1");
    page.shows("#under-way tr:first-child", "waits for the response of 127.0.0.1:");
    page.shows("#under-way tr:first-child", " of heldfor ");
    page.shows("#under-way tr:first-child td.wide", "/hang");
    // One of them, from its begin to now.
    let first = under_way()[0]["id"].as_str().unwrap().to_owned();
    page.browser.value("document.querySelector('#under-way .plain').focus()");
    page.browser.press("Enter");
    page.shows("#requests-body h3", &format!("Request {first}"));
    page.shows("#requests-body .facts", "Under way");
    page.shows("#requests-body .facts", "waits for the response of 127.0.0.1:");
    page.shows("#requests-body h3", "Attempt 1: 127.0.0.1:");
    page.wait("document.querySelectorAll('#requests-body .fall rect.f-header').length >= 1");
    // Those that have ended make room, but not the one in which somebody is.
    let focus = "document.querySelector('#under-way .plain').focus()";
    page.browser.value(&format!(
        "globalThis.oldest = document.querySelector('#under-way tbody tr'); {focus}"
    ));
    let height = "document.querySelector('#under-way').offsetHeight";
    let before = page.browser.value(height);
    drop(clients.pop_front());
    page.shows("#under-way-count", "the oldest 20, and 4 more");
    page.shows("#under-way tr:first-child", "has ended");
    page.shows("#under-way tr:last-child .plain", "hang?20<b>");
    assert_eq!(page.browser.value("oldest.contains(document.activeElement)"), json!(true));
    clients.clear();
    page.wait("document.querySelector('#under-way-count').textContent === ''");
    assert_eq!(page.browser.value("oldest.contains(document.activeElement)"), json!(true));
    page.browser.value("document.activeElement.blur()");
    page.shows("#under-way p:not([hidden])", "No request that is recorded is under way.");
    assert!(page.browser.value(height).as_u64() >= before.as_u64(), "what is below has moved");
}
