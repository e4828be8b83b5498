//! `mail {}`: checked as in nginx, but not served yet.

use weir_conf::value::{Msec, Size};
use weir_conf::{Contexts, Cx, Fault, Local, Many, Node, Slot, Table, Word, bitmask, directives};
use weir_engine::url::{UrlOptions, parse_url};
use weir_upstream::ResolverConfig;

use super::servers::{Kind, ProxyProtocol, ServerPorts, TrustedNetwork, no_listen};
use super::transport::MailTls;

static MAIL: Slot<Mail> = Slot::new();
static TLS: Slot<MailTls> = Slot::new();

/// The tables of the directives in `mail {}`.
pub(super) const TABLES: &[&Table] = &[&Mail::table(&MAIL), &MailTls::table(&TLS)];

bitmask! {
    /// `imap_auth`.
    pub(super) struct ImapAuth {
        "plain" => PLAIN = 2,
        "login" => LOGIN = 4,
        "cram-md5" => CRAM_MD5 = 8,
        "external" => EXTERNAL = 16,
    }
}

bitmask! {
    /// `pop3_auth`.
    pub(super) struct Pop3Auth {
        "plain" => PLAIN = 2,
        "apop" => APOP = 4,
        "cram-md5" => CRAM_MD5 = 8,
        "external" => EXTERNAL = 16,
    }
}

bitmask! {
    /// `smtp_auth`.
    pub(super) struct SmtpAuth {
        "plain" => PLAIN = 2,
        "login" => LOGIN = 4,
        "cram-md5" => CRAM_MD5 = 8,
        "external" => EXTERNAL = 16,
        "none" => NONE = 32,
    }
}

directives! {
    /// Proxying of mail protocols.
    pub(super) struct Mail as MailWritten in [mail, mail_server] {
        "mail" in [main] opens mail [0]: "{ … }" => open_mail,
        "server" in [mail] opens mail_server [0]: "{ … }" then close_server,
        "listen" in [mail_server] [1+]: "" => add_listen,
        "protocol" in [mail_server] [1]: "" => set_protocol,
        "server_name" => server_name: String,
        "set_real_ip_from" => real_ip: Many<TrustedNetwork>,
        "auth_http" [1]: "" => set_auth_http,
        "auth_http_header" [2]: "" => inert,
        "auth_http_timeout" => auth_http_timeout: Msec = Msec::seconds(60),
        "auth_http_pass_client_cert" => auth_http_pass_client_cert: bool,
        "timeout" => timeout: Msec = Msec::seconds(60),
        "resolver" => resolver: Option<ResolverConfig>,
        "resolver_timeout" => resolver_timeout: Msec = Msec::seconds(60),
        "max_errors" => max_errors: u64,
        "imap_client_buffer" => imap_client_buffer: Size,
        "imap_capabilities" => imap_capabilities: Many<Vec<Word>>,
        "imap_auth" => imap_auth: ImapAuth,
        "pop3_capabilities" => pop3_capabilities: Many<Vec<Word>>,
        "pop3_auth" => pop3_auth: Pop3Auth,
        "proxy" => proxy: bool,
        "proxy_buffer" => proxy_buffer: Size,
        "proxy_timeout" => proxy_timeout: Msec = Msec::seconds(60),
        "proxy_pass_error_message" => proxy_pass_error_message: bool,
        "xclient" => xclient: bool,
        "proxy_smtp_auth" => proxy_smtp_auth: bool,
        "proxy_protocol" => proxy_protocol: ProxyProtocol = ProxyProtocol::Off,
        "smtp_client_buffer" => smtp_client_buffer: Size,
        "smtp_greeting_delay" => smtp_greeting_delay: Msec = Msec::seconds(60),
        "smtp_capabilities" => smtp_capabilities: Many<Vec<Word>>,
        "smtp_auth" => smtp_auth: SmtpAuth,
        field opened: Local<bool>,
        field listens: Local<bool>,
        field protocol: Local<Option<String>>,
        field asks: bool,
    }
    finish = Mail::finish;
}

fn open_mail(own: &mut MailWritten, node: &Node, cx: &mut Cx<'_>) -> Result<(), Fault> {
    if own.opened.replace(true).is_some() {
        return Err(Fault::duplicate());
    }
    cx.no_effect(format!("\"{}\" directive is not supported yet and has no effect", node.text()));
    Ok(())
}

fn close_server(own: &mut MailWritten, _: &Node, cx: &mut Cx<'_>) -> Result<(), Fault> {
    match own.listens {
        Some(_) => Ok(()),
        None => Err(no_listen(cx)),
    }
}

fn add_listen(own: &mut MailWritten, node: &Node, cx: &mut Cx<'_>) -> Result<(), Fault> {
    own.listens = Some(true);
    let protocol = ServerPorts::add(Kind::Mail, node, cx)?;
    if own.protocol.is_none() {
        own.protocol = protocol.map(|name| Some(name.to_owned()));
    }
    Ok(())
}

fn set_protocol(own: &mut MailWritten, node: &Node, _: &mut Cx<'_>) -> Result<(), Fault> {
    let word = &node.args[0];
    if !["imap", "pop3", "smtp"].iter().any(|known| word.is(known)) {
        return Err(Fault::new(format!("unknown protocol \"{}\"", word.shown())).at(word));
    }
    own.protocol = Some(Some(word.text().into_owned()));
    Ok(())
}

fn set_auth_http(own: &mut MailWritten, node: &Node, cx: &mut Cx<'_>) -> Result<(), Fault> {
    let text = node.args[0].text();
    let address = text.strip_prefix("http://").unwrap_or(&text);
    let options = UrlOptions { default_port: 80, uri_part: true, lookup: Some(cx.env()) };
    parse_url(address, options)
        .map_err(|why| Fault::new(format!("{why} in auth_http \"{address}\"")))?;
    own.asks = Some(true);
    Ok(())
}

fn inert(_: &mut MailWritten, _: &Node, _: &mut Cx<'_>) -> Result<(), Fault> {
    Ok(())
}

impl Mail {
    fn finish(&mut self, _: Option<&Self>, cx: &mut Cx<'_>) -> Result<(), Fault> {
        if cx.context() != Contexts::MAIL_SERVER {
            return Ok(());
        }
        let place = cx.sources().place(cx.block_span());
        if self.protocol.is_none() {
            let message = format!("unknown mail protocol for server{place}");
            return Err(Fault::new(message).nowhere());
        }
        match self.asks {
            true => Ok(()),
            false => {
                let message = format!("no \"auth_http\" is defined for server{place}");
                Err(Fault::new(message).nowhere())
            }
        }
    }
}
