//! `mail {}`: its directives are checked for name, place and number of arguments, no more.

use weir_conf::{Cx, Fault, Node, Slot, directives};

/// Proxying of mail protocols.
pub(super) static MAIL: Slot<Mail> = Slot::new();

directives! {
    /// Proxying of mail protocols.
    pub(super) struct Mail as MailWritten in [mail] {
        "mail" in [main] opens mail [0]: "{ … }" => warn,
        // mail
        // mail_auth_http
        "auth_http" in [mail, mail_server] [1]: "" => inert,
        "auth_http_timeout" in [mail, mail_server] [1]: "" => inert,
        "auth_http_header" in [mail, mail_server] [2]: "" => inert,
        "auth_http_pass_client_cert" in [mail, mail_server] [1]: "" => inert,
        // mail_core
        "server" in [mail] opens mail_server [0]: "{ … }",
        "listen" in [mail_server] [1+]: "" => inert,
        "protocol" in [mail_server] [1]: "" => inert,
        "timeout" in [mail, mail_server] [1]: "" => inert,
        "server_name" in [mail, mail_server] [1]: "" => inert,
        "error_log" in [mail, mail_server] [1+]: "" => inert,
        "resolver" in [mail, mail_server] [1+]: "" => inert,
        "resolver_timeout" in [mail, mail_server] [1]: "" => inert,
        "max_errors" in [mail, mail_server] [1]: "" => inert,
        // mail_imap
        "imap_client_buffer" in [mail, mail_server] [1]: "" => inert,
        "imap_capabilities" in [mail, mail_server] [1+]: "" => inert,
        "imap_auth" in [mail, mail_server] [1+]: "" => inert,
        // mail_pop3
        "pop3_capabilities" in [mail, mail_server] [1+]: "" => inert,
        "pop3_auth" in [mail, mail_server] [1+]: "" => inert,
        // mail_proxy
        "proxy" in [mail, mail_server] [1]: "" => inert,
        "proxy_buffer" in [mail, mail_server] [1]: "" => inert,
        "proxy_timeout" in [mail, mail_server] [1]: "" => inert,
        "proxy_pass_error_message" in [mail, mail_server] [1]: "" => inert,
        "xclient" in [mail, mail_server] [1]: "" => inert,
        "proxy_smtp_auth" in [mail, mail_server] [1]: "" => inert,
        "proxy_protocol" in [mail, mail_server] [1]: "" => inert,
        // mail_realip
        "set_real_ip_from" in [mail, mail_server] [1]: "" => inert,
        // mail_smtp
        "smtp_client_buffer" in [mail, mail_server] [1]: "" => inert,
        "smtp_greeting_delay" in [mail, mail_server] [1]: "" => inert,
        "smtp_capabilities" in [mail, mail_server] [1+]: "" => inert,
        "smtp_auth" in [mail, mail_server] [1+]: "" => inert,
        // mail_ssl
        "starttls" in [mail, mail_server] [1]: "" => inert,
        "ssl_certificate" in [mail, mail_server] [1]: "" => inert,
        "ssl_certificate_key" in [mail, mail_server] [1]: "" => inert,
        "ssl_password_file" in [mail, mail_server] [1]: "" => inert,
        "ssl_certificate_compression" in [mail, mail_server] [1]: "" => inert,
        "ssl_dhparam" in [mail, mail_server] [1]: "" => inert,
        "ssl_ecdh_curve" in [mail, mail_server] [1]: "" => inert,
        "ssl_protocols" in [mail, mail_server] [1+]: "" => inert,
        "ssl_ciphers" in [mail, mail_server] [1]: "" => inert,
        "ssl_prefer_server_ciphers" in [mail, mail_server] [1]: "" => inert,
        "ssl_session_cache" in [mail, mail_server] [1, 2]: "" => inert,
        "ssl_session_tickets" in [mail, mail_server] [1]: "" => inert,
        "ssl_session_ticket_key" in [mail, mail_server] [1]: "" => inert,
        "ssl_session_timeout" in [mail, mail_server] [1]: "" => inert,
        "ssl_verify_client" in [mail, mail_server] [1]: "" => inert,
        "ssl_verify_depth" in [mail, mail_server] [1]: "" => inert,
        "ssl_client_certificate" in [mail, mail_server] [1]: "" => inert,
        "ssl_trusted_certificate" in [mail, mail_server] [1]: "" => inert,
        "ssl_crl" in [mail, mail_server] [1]: "" => inert,
        "ssl_conf_command" in [mail, mail_server] [2]: "" => inert,
    }
}

fn warn(_: &mut MailWritten, node: &Node, cx: &mut Cx<'_>) -> Result<(), Fault> {
    cx.warn(format!("\"{}\" directive is not supported yet and has no effect", node.text()));
    Ok(())
}

fn inert(_: &mut MailWritten, _: &Node, _: &mut Cx<'_>) -> Result<(), Fault> {
    Ok(())
}
