//! Error pages and error logging.

use weir_conf::value::parse_number;
use weir_conf::{Cx, Fault, Inherit, Node, Slot, Span, Word, directives};
use weir_script::{Template, Variables};

/// Error pages and error logging.
pub(crate) static ERRORS: Slot<Errors> = Slot::new();

directives! {
    /// Error pages and error logging.
    pub struct Errors as ErrorsWritten in [http, server, location] {
        /// The page for responses with these statuses: a URI, a named location or a redirect.
        "error_page" in [http, server, location, location_if] [2+]: "code ... [=[response]] uri"
            => add_error_page,
        /// Applies error pages to the responses of error pages, too.
        "recursive_error_pages" => recursive_error_pages: bool = false,
        /// Logs missing files.
        "log_not_found" => log_not_found: bool = true,
        /// Logs subrequests in the access log.
        "log_subrequest" => log_subrequest: bool = false,
        /// Pads short error pages, which some browsers would replace with their own.
        "msie_padding" => msie_padding: bool = true,
        /// Sends Internet Explorer a page that refreshes in place of a redirect.
        "msie_refresh" => msie_refresh: bool = false,
        /// The URI of a subrequest that runs after the response, whose own response is discarded.
        "post_action" in [http, server, location, location_if] => post_action: Option<Word>,
        field pages: Inherit<Vec<ErrorPage>>,
    }
}

impl Errors {
    /// The page for a status, the first one if there are several.
    pub(crate) fn page(&self, status: u16) -> Option<&ErrorPage> {
        self.pages.iter().find(|page| page.applies_to(status))
    }
}

/// The page for one status.
#[derive(Clone, Debug)]
pub(crate) struct ErrorPage {
    /// The status, 300 to 599 without 499.
    pub status: u16,
    /// The response status: `None` keeps the error's, `Some(0)` takes the page's (`=`).
    pub overwrite: Option<u16>,
    /// The location of the page.
    pub target: ErrorTarget,
    /// The place of the directive.
    pub span: Span,
}

/// The location of an error page.
#[derive(Clone, Debug)]
pub(crate) enum ErrorTarget {
    /// A named location, with its `@`.
    Named(Vec<u8>),
    /// A URI with arguments if it starts with a slash, a named location if it starts with `@`,
    /// otherwise the URL of a redirect.
    Uri(Template),
}

impl ErrorPage {
    /// Whether the page is for this status.
    pub(crate) fn applies_to(&self, status: u16) -> bool {
        self.status == status
    }
}

fn add_error_page(own: &mut ErrorsWritten, node: &Node, cx: &mut Cx<'_>) -> Result<(), Fault> {
    let (uri, rest) = node.args.split_last().ok_or_else(Fault::bad_value)?;
    let (overwrite, codes) = match rest.split_last() {
        Some((last, codes)) if last.value.first() == Some(&b'=') => {
            if codes.is_empty() {
                return Err(Fault::invalid(last));
            }
            (Some(response(last)?), codes)
        }
        _ => (None, rest),
    };
    let target = match uri.value.first() {
        Some(b'@') if !uri.value.contains(&b'$') => ErrorTarget::Named(uri.value.clone()),
        _ => ErrorTarget::Uri(Template::compile(&uri.value, cx.registry::<Variables>())?),
    };
    let span = cx.span();
    let pages = own.pages.get_or_insert_default();
    for word in codes {
        let status = status(word)?;
        let overwrite = overwrite.or_else(|| is_bad_request(status).then_some(400));
        pages.push(ErrorPage { status, overwrite, target: target.clone(), span });
    }
    Ok(())
}

/// The status after `=`; 0 if there is none.
fn response(word: &Word) -> Result<u16, Fault> {
    let code = &word.value[1..];
    if code.is_empty() {
        return Ok(0);
    }
    let code = parse_number(code).ok_or_else(|| Fault::invalid(word))?;
    Ok(u16::try_from(code).unwrap_or(u16::MAX))
}

fn status(word: &Word) -> Result<u16, Fault> {
    match parse_number(&word.value) {
        None | Some(499) => Err(Fault::invalid(word)),
        Some(status @ 300..=599) => Ok(status as u16),
        Some(_) => {
            let text = word.text();
            Err(Fault::new(format!("value \"{text}\" must be between 300 and 599")).at(word))
        }
    }
}

/// nginx's own statuses for bad requests, which are sent as 400.
fn is_bad_request(status: u16) -> bool {
    (494..=497).contains(&status)
}
