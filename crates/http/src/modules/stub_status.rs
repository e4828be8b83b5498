//! `stub_status` (<https://nginx.org/en/docs/http/ngx_http_stub_status_module.html>).

use weir_conf::{Contexts, Cx, Fault, Local, Node, Settings, Slot, directives};
use weir_engine::stats::{self, Totals};
use weir_wire::h1::Method;

use crate::module::{Handler, Module, Pending, Verdict};
use crate::request::Request;
use crate::variables::VariableRow;

pub(crate) const MODULE: Module = Module {
    name: "stub_status",
    tables: &[&StubStatus::table(&STUB_STATUS)],
    variables: &[
        VariableRow::new(
            "connections_active",
            "Client connections, waiting ones included.",
            |_, _, out| number(|totals| totals.active, out),
        ),
        VariableRow::new(
            "connections_reading",
            "Connections whose request is being read.",
            |_, _, out| number(|totals| totals.reading, out),
        ),
        VariableRow::new(
            "connections_writing",
            "Connections on which a response is being made or sent.",
            |_, _, out| number(|totals| totals.writing, out),
        ),
        VariableRow::new(
            "connections_waiting",
            "Idle client connections that wait for a request.",
            |_, _, out| number(|totals| totals.waiting, out),
        ),
    ],
    content: Some(content),
    ..Module::NONE
};

static STUB_STATUS: Slot<StubStatus> = Slot::new();

directives! {
    /// The connection counters.
    pub(crate) struct StubStatus as StubStatusWritten in [server, location] {
        /// Answers with the connection counters. The argument is ignored.
        "stub_status" [0, 1]: "" => set,
        field on: Local<bool>,
    }
    finish = StubStatus::finish;
}

fn set(own: &mut StubStatusWritten, _: &Node, _: &mut Cx<'_>) -> Result<(), Fault> {
    own.on = Some(true);
    Ok(())
}

impl StubStatus {
    fn finish(&mut self, parent: Option<&Self>, cx: &mut Cx<'_>) -> Result<(), Fault> {
        let inner = cx.context().intersects(Contexts::LOCATION_IF.union(Contexts::LIMIT_EXCEPT));
        self.on |= inner && parent.is_some_and(|parent| parent.on);
        Ok(())
    }
}

fn content(settings: &Settings) -> Option<Handler> {
    settings.get(&STUB_STATUS).on.then_some(Handler::Async(handle))
}

fn handle(request: &mut Request) -> Pending<'_, Verdict> {
    Box::pin(async move {
        if !matches!(request.method, Method::Get | Method::Head) {
            return Verdict::Status(405);
        }
        request.send_all(200, b"text/plain", page(&stats::totals()).into_bytes()).await
    })
}

fn page(totals: &Totals) -> String {
    let Totals { accepted, handled, requests, active, reading, writing, waiting } = totals;
    format!(
        "Active connections: {active} \n\
         server accepts handled requests\n {accepted} {handled} {requests} \n\
         Reading: {reading} Writing: {writing} Waiting: {waiting} \n"
    )
}

fn number(pick: fn(&Totals) -> u64, out: &mut Vec<u8>) -> bool {
    out.extend_from_slice(pick(&stats::totals()).to_string().as_bytes());
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_is_nginxs() {
        let totals = Totals {
            accepted: 16,
            handled: 15,
            requests: 31,
            active: 4,
            reading: 1,
            writing: 2,
            waiting: 3,
        };
        assert_eq!(
            page(&totals),
            "Active connections: 4 \nserver accepts handled requests\n 16 15 31 \n\
             Reading: 1 Writing: 2 Waiting: 3 \n"
        );
    }
}
