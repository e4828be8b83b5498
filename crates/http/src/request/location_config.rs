//! The settings that a request takes over from a location when it enters it (nginx:
//! `ngx_http_update_location_config`).

use crate::client::{Rate, Sending};
use crate::core::connection::KeepaliveDisable;
use crate::request::Request;
use crate::request::browser::UserAgent;
use crate::route::Usual;
use weir_engine::clock;
use weir_wire::h1::Method;

/// The maximum length of one file read in bytes, even with larger `output_buffers`: the loop waits
/// for the disk.
const LARGEST_READ: u64 = 8 * 1024 * 1024;

impl Request {
    /// Applies the settings of the request's location to the connection and the body.
    pub fn enter_location(&mut self) {
        let Self { location, body, client, .. } = self;
        let usual = &location.usual;
        let Usual { limits, connection, files, .. } = usual;
        body.max_size = limits.client_max_body_size.0;
        body.timeout = limits.client_body_timeout.0;
        client.send_timeout = limits.send_timeout.0;
        client.sending = Sending {
            sendfile: files.sendfile,
            sendfile_chunk: files.sendfile_max_chunk.0,
            file_read: files.output_buffers.size.clamp(1, LARGEST_READ),
            frame: usual.frame,
            nopush: connection.tcp_nopush,
        };
        if self.keepalive {
            let connection = &self.location.usual.connection;
            self.keepalive = !connection.keepalive_timeout.idle.is_zero()
                && self.number < u64::from(connection.keepalive_requests)
                && clock::now().since(self.info.start) <= connection.keepalive_time.0
                && !self.is_disabled(connection.keepalive_disable);
        }
    }

    /// Whether keepalive is disabled for the client's browser.
    fn is_disabled(&self, disabled: KeepaliveDisable) -> bool {
        let msie6 = disabled.has(KeepaliveDisable::MSIE6) && self.method == Method::Post;
        let safari = disabled.has(KeepaliveDisable::SAFARI);
        if !msie6 && !safari {
            return false;
        }
        let browser = UserAgent::of(&self.head);
        msie6 && browser.msie6 || safari && browser.safari
    }

    /// Sets the rate from `limit_rate` when the response begins, unless it has been set before.
    pub(crate) fn settle_rate(&mut self) {
        let location = self.location.clone();
        let limits = &location.usual.limits;
        if !self.client.rate_set {
            self.client.rate_set = true;
            let Some(limit) = &limits.limit_rate else { return };
            let bytes = limit.eval(self);
            self.client.rate = (bytes > 0).then(|| Rate::new(bytes, 0));
        }
        if self.client.rate.is_some()
            && let Some(after) = &limits.limit_rate_after
        {
            let after = after.eval(self);
            if let Some(rate) = &mut self.client.rate {
                rate.after = after;
            }
        }
    }
}
