//! Load reports of servers in their responses (`load_report`).

use weir_upstream::Pick;

use super::clock;
use super::course::Pass;
use crate::request::Request;

/// The response field with a report.
const FIELD: &[u8] = b"endpoint-load-metrics";

/// Gives the report of a response, if it has one, to the peer. A field that comes twice is bad.
pub(crate) fn heed(request: &Request, pick: &Pick<'_>) {
    let fields = request.attempts.headers.iter();
    let is_report = |name: &[u8]| name.eq_ignore_ascii_case(FIELD);
    let mut reports = fields.filter(|(name, ..)| is_report(name)).map(|(_, value, _)| value);
    if let (Some(peer), Some(report)) = (pick.peer(), reports.next()) {
        let report = if reports.next().is_none() { report } else { b"" };
        peer.heed_report(report, clock::now());
    }
}

/// Keeps the report from the client, unless the field is to be passed on.
pub(crate) fn hide(request: &mut Request, pass: &Pass<'_>) {
    let is_passed = |name: &String| name.as_bytes().eq_ignore_ascii_case(FIELD);
    if !pass.settings.pass_header.iter().any(is_passed) {
        request.response.headers.remove_name(FIELD);
    }
}
