//! OpenSSL's wordings of handshake failures, which log searches rely on.

use rustls::{
    AlertDescription as Alert, Error, InvalidMessage as Invalid, PeerIncompatible as Incompatible,
    PeerMisbehaved as Misbehaved,
};

/// OpenSSL's report of a failure: the alert that it sends (RFC 8446 section 6), the error code and
/// the text.
struct Account {
    alert: Option<Alert>,
    code: &'static str,
    text: &'static str,
}

impl Account {
    fn new(alert: Alert, code: &'static str, text: &'static str) -> Self {
        Self { alert: Some(alert), code, text }
    }
}

/// OpenSSL's report of a failure, if known.
fn account(error: &Error) -> Option<Account> {
    let (alert, code, text) = match error {
        Error::PeerIncompatible(why) => return incompatible(why),
        Error::InvalidMessage(why) => return invalid(why),
        Error::InappropriateHandshakeMessage { .. } | Error::InappropriateMessage { .. } => {
            (Alert::UnexpectedMessage, "0A0000F4", "unexpected message")
        }
        Error::DecryptError => {
            (Alert::BadRecordMac, "0A000119", "decryption failed or bad record mac")
        }
        Error::NoApplicationProtocol => {
            (Alert::NoApplicationProtocol, "0A0000EB", "no application protocol")
        }
        Error::PeerMisbehaved(Misbehaved::ServerNameMustContainOneHostName) => {
            (Alert::UnrecognisedName, "0A0000EA", "callback failed")
        }
        Error::PeerMisbehaved(Misbehaved::InvalidKeyShare) => {
            (Alert::IllegalParameter, "0A00006C", "bad key share")
        }
        Error::PeerMisbehaved(Misbehaved::InvalidCertCompression)
        | Error::InvalidCertificate(_) => {
            (Alert::BadCertificate, "0A000086", "certificate verify failed")
        }
        Error::General(text) if text.contains(NO_CERTIFICATE) => {
            (Alert::HandshakeFailure, "0A0000C1", "no shared cipher")
        }
        _ => return None,
    };
    Some(Account::new(alert, code, text))
}

/// The report of two peers that have nothing in common.
fn incompatible(why: &Incompatible) -> Option<Account> {
    let (alert, code, text) = match why {
        Incompatible::NoCipherSuitesInCommon
        | Incompatible::NoKxGroupsInCommon
        | Incompatible::NamedGroupsExtensionRequired => {
            (Alert::HandshakeFailure, "0A0000C1", "no shared cipher")
        }
        Incompatible::NoCertificateRequestSignatureSchemesInCommon
        | Incompatible::NoSignatureSchemesInCommon => {
            (Alert::HandshakeFailure, "0A000076", "no suitable signature algorithm")
        }
        Incompatible::ServerDoesNotSupportTls12Or13
        | Incompatible::ServerTlsVersionIsDisabledByOurConfig
        | Incompatible::Tls12NotOffered
        | Incompatible::Tls12NotOfferedOrEnabled
        | Incompatible::Tls13RequiredForQuic
        | Incompatible::SupportedVersionsExtensionRequired => {
            (Alert::ProtocolVersion, "0A000102", "unsupported protocol")
        }
        Incompatible::SignatureAlgorithmsExtensionRequired => {
            (Alert::MissingExtension, "0A000070", "missing sigalgs extension")
        }
        Incompatible::KeyShareExtensionRequired => {
            (Alert::MissingExtension, "0A000065", "no suitable key share")
        }
        Incompatible::NullCompressionRequired => {
            (Alert::DecodeError, "0A0000BB", "no compression specified")
        }
        _ => return None,
    };
    Some(Account::new(alert, code, text))
}

/// The report of a message that breaks the grammar.
fn invalid(why: &Invalid) -> Option<Account> {
    let (alert, code, text) = match why {
        // The version for the alert is unknown.
        Invalid::InvalidContentType | Invalid::UnknownProtocolVersion => {
            let (alert, code) = (None, "0A00010B");
            return Some(Account { alert, code, text: "wrong version number" });
        }
        Invalid::MessageTooLarge => (Alert::RecordOverflow, "0A0000C6", "packet length too long"),
        Invalid::HandshakePayloadTooLarge => {
            (Alert::IllegalParameter, "0A000098", "excessive message size")
        }
        Invalid::IllegalEmptyList("CipherSuites") => {
            (Alert::IllegalParameter, "0A0000B7", "no ciphers specified")
        }
        Invalid::DuplicateExtension(_) => (Alert::IllegalParameter, "0A00006E", "bad extension"),
        Invalid::MessageTooShort | Invalid::MissingData(_) => {
            (Alert::DecodeError, "0A00009F", "length mismatch")
        }
        _ => return None,
    };
    Some(Account::new(alert, code, text))
}

/// rustls's message when no certificate suits the client.
const NO_CERTIFICATE: &str = "no server certificate chain resolved";

/// Whether the server had no certificate that suits the client.
pub(super) fn is_without_certificate(error: &Error) -> bool {
    matches!(error, Error::General(text) if text.contains(NO_CERTIFICATE))
}

/// The alert record, unencrypted, that OpenSSL sends for a faulty hello; empty if it sends none,
/// `None` if that is not known.
pub(super) fn alert(error: &Error) -> Option<Vec<u8>> {
    let record = |alert| vec![21, 3, 3, 0, 2, 2, u8::from(alert)];
    Some(account(error)?.alert.map(record).unwrap_or_default())
}

/// OpenSSL's error text, such as `error:0A0000C1:SSL routines::no shared cipher`; rustls's text
/// where OpenSSL has none.
pub(super) fn of(error: &Error) -> String {
    match (error, account(error)) {
        (Error::AlertReceived(alert), _) => received(*alert),
        (_, Some(Account { code, text, .. })) => format!("error:{code}:SSL routines::{text}"),
        _ => other(error),
    }
}

/// OpenSSL's words for the error, if it has some.
pub(super) fn text(error: &Error) -> Option<&'static str> {
    account(error).map(|account| account.text)
}

fn other(error: &Error) -> String {
    format!("error:{error}")
}

/// OpenSSL's text for an alert from the peer. Their error codes start at 1000.
fn received(alert: Alert) -> String {
    let number = u8::from(alert);
    let text = match alert {
        Alert::UnexpectedMessage => "sslv3 alert unexpected message",
        Alert::BadRecordMac => "sslv3 alert bad record mac",
        Alert::HandshakeFailure => "sslv3 alert handshake failure",
        Alert::BadCertificate => "sslv3 alert bad certificate",
        Alert::UnsupportedCertificate => "sslv3 alert unsupported certificate",
        Alert::CertificateRevoked => "sslv3 alert certificate revoked",
        Alert::CertificateExpired => "sslv3 alert certificate expired",
        Alert::CertificateUnknown => "sslv3 alert certificate unknown",
        Alert::IllegalParameter => "sslv3 alert illegal parameter",
        Alert::UnknownCA => "tlsv1 alert unknown ca",
        Alert::AccessDenied => "tlsv1 alert access denied",
        Alert::DecodeError => "tlsv1 alert decode error",
        Alert::DecryptError => "tlsv1 alert decrypt error",
        Alert::ProtocolVersion => "tlsv1 alert protocol version",
        Alert::InsufficientSecurity => "tlsv1 alert insufficient security",
        Alert::InternalError => "tlsv1 alert internal error",
        Alert::UserCanceled => "tlsv1 alert user cancelled",
        Alert::UnrecognisedName => "tlsv1 unrecognized name",
        Alert::UnknownPSKIdentity => "tlsv1 alert unknown psk identity",
        Alert::CertificateRequired => "tlsv13 alert certificate required",
        Alert::NoApplicationProtocol => "tlsv1 alert no application protocol",
        _ => return format!("error:peer sent alert {number}:SSL alert number {number}"),
    };
    let code = 0x0A00_0000 + 1000 + u32::from(number);
    format!("error:{code:08X}:SSL routines::{text}:SSL alert number {number}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn alerts_have_openssls_numbers() {
        assert_eq!(
            of(&Error::AlertReceived(Alert::UnknownCA)),
            "error:0A000418:SSL routines::tlsv1 alert unknown ca:SSL alert number 48"
        );
        assert_eq!(
            of(&Error::PeerIncompatible(Incompatible::NoCipherSuitesInCommon)),
            "error:0A0000C1:SSL routines::no shared cipher"
        );
    }

    #[test]
    fn faults_of_hellos_have_openssls_alerts() {
        let error = Error::PeerIncompatible(Incompatible::Tls12NotOffered);
        assert_eq!(alert(&error).unwrap(), [21, 3, 3, 0, 2, 2, 70]);
        let error = Error::General(NO_CERTIFICATE.to_owned());
        assert_eq!(alert(&error).unwrap(), [21, 3, 3, 0, 2, 2, 40]);
        let error = Error::InvalidMessage(Invalid::InvalidContentType);
        assert_eq!(alert(&error).unwrap(), []);
        assert_eq!(alert(&Error::EncryptError), None);
    }
}
