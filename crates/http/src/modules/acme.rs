//! `acme_issuer` and `acme_certificate`: certificates that Weir orders and renews itself
//! (<https://nginx.org/en/docs/http/ngx_http_acme_module.html>). The protocol and the duties are
//! [`weir_acme`]'s; handshakes find the answers to authorities themselves.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};

use weir_acme::settings::{ISSUER, IssuerConfig, key_kind};
use weir_acme::{Certificate, Identifiers, Issuer, Pem, Wanted, answers};
use weir_conf::{
    Block, Contexts, Cx, Diagnostic, Fault, Inherit, Local, Node, Settings, Severity, Slot, Span,
    directives,
};
use weir_edge::zone::name_and_size;
use weir_engine::duty::Duty;
use weir_engine::tls::KeyKind;
use weir_upstream::Registry;
use weir_wire::h1::Method;

use crate::core::server_name::{ServerName, names};
use crate::module::{Handler, Module, Pending, Phase, PhaseHandler, Prepare, Verdict};
use crate::request::Request;
use crate::route::servers;
use crate::snapshot::{Configuration, Generation};
use crate::tls::SSL;
use crate::tls::status::resolving;
use crate::variables::VariableRow;

pub(crate) const MODULE: Module = Module {
    name: "acme",
    tables: &[&Acme::table(&ACME), &weir_acme::settings::TABLE],
    variables: &[
        VariableRow::new(
            "acme_certificate",
            "The certificate that the server's `acme_certificate` has got, with its chain, for \
             `ssl_certificate`.",
            |request, _, out| variable(request, out, |pem| &pem.chain),
        ),
        VariableRow::new(
            "acme_certificate_key",
            "The private key of that certificate, for `ssl_certificate_key`.",
            |request, _, out| variable(request, out, |pem| &pem.key),
        ),
    ],
    handlers: &[PhaseHandler {
        phase: Phase::PostRead,
        enabled: |settings: &Settings| settings.get(&ACME).has_issuers,
        handler: Handler::Async(answer),
    }],
    duties: Some(duties),
    prepare: Some(prepare),
    ..Module::NONE
};

static ACME: Slot<Acme> = Slot::new();

/// The prefix of PEM text in place of a file's name.
const DATA: &[u8] = b"data:";

directives! {
    /// Certificates from authorities with ACME.
    pub(crate) struct Acme as AcmeWritten in [http] {
        /// Defines an issuer of certificates: an authority, and the account there.
        "acme_issuer" opens acme_issuer [1]: "name { ... }" => open_issuer,
        /// The size of nginx's zone for certificates. Has no effect: certificates and answers are
        /// in the memory of the worker.
        "acme_shared_zone" [1]: "zone=name:size" => set_zone,
        /// Orders a certificate for these names from an issuer, and renews it; without names, for
        /// those of `server_name`, where a leading dot stands for the name with `www.` and without.
        /// Wildcards need an issuer with `challenge dns`. The server uses it as
        /// `ssl_certificate $acme_certificate` with `ssl_certificate_key $acme_certificate_key`.
        "acme_certificate" in [server] [1+]: "issuer [name ...] [key=algorithm[:size]]"
            => set_certificate,
        field has_issuers: Inherit<bool>,
        field zone: Local<bool>,
        field order: Local<Option<Arc<Order>>>,
    }
}

/// A server's `acme_certificate`.
#[derive(Debug)]
pub(crate) struct Order {
    issuer: String,
    names: Identifiers,
    key: KeyKind,
    span: Span,
    /// What it means in the whole configuration.
    wanted: OnceLock<Wanted>,
}

fn open_issuer(own: &mut AcmeWritten, node: &Node, _: &mut Cx<'_>) -> Result<(), Fault> {
    own.has_issuers = Some(true);
    let name = &node.args[0];
    match name.value.is_empty() {
        true => Err(Fault::invalid(name)),
        false => Ok(()),
    }
}

fn set_zone(own: &mut AcmeWritten, node: &Node, _: &mut Cx<'_>) -> Result<(), Fault> {
    if own.zone.replace(true).is_some() {
        return Err(Fault::duplicate());
    }
    let word = &node.args[0];
    let missing = || Fault::new("\"acme_shared_zone\" must have \"zone\" parameter").at(word);
    name_and_size(word, word.after("zone=").ok_or_else(missing)?)?;
    Ok(())
}

fn set_certificate(own: &mut AcmeWritten, node: &Node, cx: &mut Cx<'_>) -> Result<(), Fault> {
    if own.order.is_some() {
        return Err(Fault::duplicate());
    }
    let issuer = node.args[0].text().into_owned();
    if issuer.is_empty() {
        return Err(
            Fault::new("\"acme_certificate\" directive \"issuer\" is missing").at(&node.args[0])
        );
    }
    let (mut names, mut key) = (Identifiers::default(), None);
    for word in &node.args[1..] {
        if let Some(text) = word.after("key=") {
            let kind = key_kind(&String::from_utf8_lossy(text), "acme_certificate");
            let kind = kind.map_err(|fault| fault.at(word))?;
            let invalid = "\"acme_certificate\" directive invalid \"key\" value";
            let kind = kind.ok_or_else(|| Fault::new(invalid).at(word))?;
            if key.replace(kind).is_some() {
                return Err(Fault::duplicate().at(word));
            }
            continue;
        }
        names.add(&word.text()).map_err(|why| {
            let message = format!("acme_certificate: {why}");
            Fault::new(message).at(word)
        })?;
    }
    let (key, span, wanted) = (key.unwrap_or_default(), cx.span(), OnceLock::new());
    own.order = Some(Some(Arc::new(Order { issuer, names, key, span, wanted })));
    Ok(())
}

/// Finds the issuers of all certificates, and tells the servers' TLS settings which these are.
fn prepare(whole: &mut Prepare<'_>) -> Result<(), Fault> {
    let mut issuers: BTreeMap<&str, &Arc<IssuerConfig>> = BTreeMap::new();
    let https = whole.root.children(Contexts::HTTP);
    for block in https.flat_map(|http| http.children(Contexts::ACME_ISSUER)) {
        let Some(config) = &block.settings.get(&ISSUER).config else { continue };
        if issuers.insert(&config.name, config).is_some() {
            let message = format!("duplicate acme issuer \"{}\"", config.name);
            return Err(Fault::new(message).in_place(block.span));
        }
    }
    for server in servers::servers(whole.root) {
        let context = server.settings.get(&SSL).context.as_ref();
        let context = context.filter(|context| context.is_issued());
        let Some(order) = &server.settings.get(&ACME).order else {
            if context.is_some() {
                let message = "\"$acme_certificate\" has no value in a server without \
                               \"acme_certificate\": its handshakes will fail";
                let warning = Diagnostic::new(Severity::Warn, message, Some(server.span));
                whole.diagnostics.push(warning);
            }
            continue;
        };
        let mut written = names(server).into_iter();
        if order.names.is_empty() && written.any(|name| matches!(name, ServerName::Regex(_))) {
            let message = "\"acme_certificate\": unsupported regular expression in server_name";
            let warning = Diagnostic::new(Severity::Warn, message, Some(order.span));
            whole.diagnostics.push(warning);
        }
        let wanted = resolve(order, server, &issuers)?;
        if let Some(context) = context {
            context.bind(Arc::clone(wanted.certificate.issued()));
            if context.wants_stapling() {
                let message = "\"ssl_stapling\" ignored, the status of certificates that are \
                               ordered by ACME is not asked for";
                let warning = Diagnostic::new(Severity::Warn, message, Some(order.span));
                whole.diagnostics.push(warning);
            }
        }
        let _ = order.wanted.set(wanted);
    }
    Ok(())
}

/// The certificate that a server wants.
fn resolve(
    order: &Order,
    server: &Block,
    issuers: &BTreeMap<&str, &Arc<IssuerConfig>>,
) -> Result<Wanted, Fault> {
    let fault = |message: String| Fault::new(message).in_place(order.span);
    let Some(config) = issuers.get(&*order.issuer) else {
        return Err(fault(format!("issuer \"{}\" is missing", order.issuer)));
    };
    let mut certified = order.names.clone();
    if certified.is_empty() {
        for name in names(server) {
            // A pattern is no name.
            let ServerName::Plain(name) = name else { continue };
            if !name.is_empty() {
                let name = String::from_utf8_lossy(&name);
                certified
                    .add(&name)
                    .map_err(|why| fault(format!("\"acme_certificate\": {why}")))?;
            }
        }
    }
    if certified.is_empty() {
        let message = "\"acme_certificate\": no identifiers found in \"server_name\"";
        return Err(fault(message.to_owned()));
    }
    if certified.has_wildcard() && !config.proves_by_dns() {
        let message = format!(
            "\"acme_certificate\": wildcards need \"challenge dns\" in the issuer \"{}\"",
            config.name
        );
        return Err(fault(message));
    }
    Ok(Wanted {
        certificate: Certificate::of(config, &certified, order.key),
        issuer: Issuer::of(&config.name),
        config: Arc::clone(config),
    })
}

/// The certificates of a configuration's servers.
fn all_wanted(
    configuration: &Configuration,
) -> impl Iterator<Item = (&crate::route::Server, &Wanted)> {
    configuration.servers().filter_map(|server| {
        let order = server.settings.get(&ACME).order.as_ref()?;
        Some((server, order.wanted.get()?))
    })
}

/// Reads the certificates that earlier processes have got, before a worker serves.
pub(crate) fn restore(configuration: &Configuration) {
    let wanted = all_wanted(configuration).map(|(_, wanted)| wanted);
    weir_acme::certificate::restore(
        wanted.map(|wanted| (Arc::clone(&wanted.certificate), Arc::clone(&wanted.config))),
    );
}

/// The duties to have the certificates, and to renew them.
fn duties(configuration: &Arc<Configuration>, _: &Arc<Registry>, _: &Generation) -> Vec<Duty> {
    let duty = |(server, wanted): (&crate::route::Server, &Wanted)| {
        let resolver = resolving(server, |config| configuration.resolver(config));
        weir_acme::duty(wanted, resolver)
    };
    all_wanted(configuration).map(duty).collect()
}

/// Answers an authority before anything else of the server's settings can.
fn answer(request: &mut Request) -> Pending<'_, Verdict> {
    let found = match request.method {
        Method::Get | Method::Head => answers::over_http(&request.uri),
        _ => None,
    };
    let Some(words) = found else { return Box::pin(NextNow) };
    Box::pin(async move { request.send_all(200, b"text/plain", words.as_bytes().to_vec()).await })
}

/// No decision. It has no size, so that its box is not allocated.
struct NextNow;

impl Future for NextNow {
    type Output = Verdict;

    fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Verdict> {
        Poll::Ready(Verdict::Next)
    }
}

/// The certificate of the server as a name of PEM text.
fn variable(request: &Request, out: &mut Vec<u8>, part: impl Fn(&Pem) -> &str) -> bool {
    let order = request.server.settings.get(&ACME).order.as_ref();
    let wanted = order.and_then(|order| order.wanted.get());
    let Some(pem) = wanted.and_then(|wanted| wanted.certificate.pem()) else { return false };
    out.extend_from_slice(DATA);
    out.extend_from_slice(part(&pem).as_bytes());
    true
}
