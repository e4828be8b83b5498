//! Delaying a request, as `limit_req` and `auth_delay` do, while watching for the client to leave.

use std::future::poll_fn;
use std::task::Poll;
use std::time::Duration;

use weir_engine::error_log::Level;
use weir_engine::timer::Deadline;

use crate::client::Sign;
use crate::request::Request;

/// The client has closed its connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gone;

impl Request {
    /// Waits for `delay`, or until the client is gone. `why` names the directive in records.
    ///
    /// # Errors
    /// The client has closed its connection; the request counts as 499.
    pub async fn pause(&mut self, delay: Duration, why: &'static str) -> Result<(), Gone> {
        let wait = self.begin_wait(why);
        let mut deadline = Deadline::new();
        deadline.after(delay);
        let mut watching = true;
        let gone = poll_fn(|cx| {
            if watching && let Poll::Ready(sign) = self.client.poll_sign(cx) {
                if sign == Sign::Gone {
                    return Poll::Ready(true);
                }
                watching = false;
            }
            deadline.poll(cx).map(|()| false)
        })
        .await;
        self.end_wait(wait);
        if gone {
            self.log(Level::Info, "client prematurely closed connection");
            self.response.status = 499;
            return Err(Gone);
        }
        Ok(())
    }
}
