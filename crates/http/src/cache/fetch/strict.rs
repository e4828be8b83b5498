//! Fetching where RFC 9111 is followed (`…_cache_rfc9111`).

use std::future::poll_fn;
use std::rc::Rc;

use weir_engine::error_log::Level;
use weir_upstream::Causes;
use weir_wire::h1::Method;
use weir_wire::header::{Headers, Known};

use super::{Candidate, Fetch};
use crate::cache::file::Head;
use crate::cache::index::Now;
use crate::cache::key::Digest;
use crate::cache::opened::Opened;
use crate::cache::rfc9111::lifetime::{self, Lifetime, Received};
use crate::cache::rfc9111::stored;
use crate::cache::shown::Status;
use crate::cache::storing::Storing;
use crate::cache::{answer, consult, freshness};
use crate::module::Verdict;
use crate::pass::body::BodyReader;
use crate::pass::course::Pass;
use crate::pass::headers::decimal;
use crate::pass::keep::Keeping;
use crate::pass::protocol::UpstreamHead;
use crate::request::Request;

/// Whether a status counts as an error for `stale-if-error` (RFC 5861 section 4).
pub(super) fn is_error(cause: Causes) -> bool {
    [Causes::HTTP_500, Causes::HTTP_502, Causes::HTTP_503, Causes::HTTP_504].contains(&cause)
}

impl<'a> Fetch<'a> {
    /// How long a response with this status and the received fields is kept; None if it is not.
    pub(super) fn lifetime(
        &self,
        request: &Request,
        pass: &Pass<'_>,
        status: u16,
    ) -> Option<Lifetime> {
        self.lifetime_of(request, pass, status, &request.attempts.headers)
    }

    fn lifetime_of(
        &self,
        request: &Request,
        pass: &Pass<'_>,
        status: u16,
        fields: &Headers,
    ) -> Option<Lifetime> {
        let attempt = request.attempts.list.last();
        let header = attempt.and_then(|(_, attempt)| attempt.header).unwrap_or_default();
        lifetime::judge(&Received {
            status,
            fields,
            ignored: pass.settings.ignore_headers,
            targets: &self.caching.control_targets,
            by_status: self.valid(status),
            is_authorized: request.head.get(Known::Authorization).is_some(),
            keeps_parts: self.caching.key.is_some(),
            now: Now::of_turn().wall,
            delay: header.secs().cast_signed(),
        })
    }

    /// Decides whether to keep the response, and fills in the head to be stored.
    pub(super) fn judge_strictly(
        &mut self,
        request: &Request,
        pass: &Pass<'_>,
        head: &UpstreamHead,
    ) -> bool {
        // The body of GET is missing.
        if request.method == Method::Head && !request.attempts.cache.converts {
            return false;
        }
        let received = Rc::clone(&request.attempts.headers);
        let Some(lifetime) = self.lifetime(request, pass, head.status) else { return false };
        let line = request.response.status_line.clone();
        let Some(stored) = self.head(request, pass, head.status, line, &received, &lifetime) else {
            return false;
        };
        self.length = match head.body {
            BodyReader::Close => received.get(Known::ContentLength).and_then(decimal),
            _ => None,
        };
        self.head = stored;
        true
    }

    /// The head of a response to be stored; None if no other request can have it.
    fn head(
        &self,
        request: &Request,
        pass: &Pass<'_>,
        status: u16,
        status_line: Option<Vec<u8>>,
        received: &Headers,
        lifetime: &Lifetime,
    ) -> Option<Head> {
        let vary = freshness::vary_strictly(received, pass.settings.ignore_headers).ok()?;
        let variant = match vary.is_empty() {
            true => Digest::default(),
            false => consult::variant(request, &self.main, &vary),
        };
        Some(Head {
            times: lifetime.times,
            body: 0,
            status,
            status_line,
            key: request.attempts.cache.key.clone(),
            vary,
            main: self.main,
            variant,
            fields: stored::fields(received, lifetime),
        })
    }

    /// Answers with the response that has not changed, after it got the fields of the 304 (RFC 9111
    /// section 4.3.4).
    pub(super) async fn answer_freshened(
        &mut self,
        request: &mut Request,
        pass: &Pass<'_>,
    ) -> Verdict {
        let Some(Candidate { opened, .. }) = self.candidate.take() else {
            return Verdict::Status(500);
        };
        let fresh = self.freshen(request, pass, &opened).await;
        self.claim = None;
        let opened = fresh.unwrap_or(opened);
        answer::send(request, pass, &opened, Status::Revalidated).await
    }

    /// Stores the response anew, with the fields of the 304. None if it stays as it was.
    async fn freshen(
        &mut self,
        request: &mut Request,
        pass: &Pass<'_>,
        opened: &Opened,
    ) -> Option<Rc<Opened>> {
        let update = Rc::clone(&request.attempts.headers);
        if !stored::is_meant(&opened.fields, &update) {
            return None;
        }
        let fields = stored::updated(&opened.fields, &update);
        let Head { status, body, .. } = opened.head;
        let line = opened.head.status_line.clone();
        let lifetime = self.lifetime_of(request, pass, status, &fields)?;
        let head = self.head(request, pass, status, line, &fields, &lifetime)?;
        let folder = self.path.temp.as_ref().or(pass.settings.temp_path.as_ref());
        let claim = self.claim.take();
        let storing = Storing::new(request, folder, self.volume, head, Some(body), claim);
        copy_body(request, opened, Box::new(storing)).await?;
        let key = std::mem::take(&mut request.attempts.cache.key);
        let fresh = Opened::open(request, self.volume, &self.digest, &key).await;
        request.attempts.cache.key = key;
        fresh.ok().map(Rc::new)
    }
}

/// Stores the body of a response once more. None if it could not be read or written, which has been
/// logged.
async fn copy_body(
    request: &mut Request,
    opened: &Opened,
    mut storing: Box<Storing<'_>>,
) -> Option<()> {
    for block in 0..opened.blocks() {
        let piece = match opened.block(request, block).await {
            Ok(piece) => piece,
            Err(error) => {
                let call = format!("read \"{}\" failed", opened.path().display());
                let failed = weir_engine::os_error::Failed(&call, &error).to_string();
                request.log(Level::Crit, &failed);
                return None;
            }
        };
        storing.put(request, piece.bytes().unwrap_or_default())?;
        if storing.is_behind() {
            poll_fn(|cx| storing.poll_written(cx)).await.ok()?;
        }
    }
    storing.finish(request).await;
    Some(())
}
