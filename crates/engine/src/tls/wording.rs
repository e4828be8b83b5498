//! Faults of handshakes in OpenSSL's words: logs are searched for them.

use rustls::{AlertDescription, Error, InvalidMessage, PeerIncompatible, PeerMisbehaved};

/// `error:0A0000C1:SSL routines::no shared cipher`; what OpenSSL has no words for is told in
/// rustls's.
pub(super) fn of(error: &Error) -> String {
    let (code, text) = match error {
        Error::AlertReceived(alert) => return received(*alert),
        Error::PeerIncompatible(why) => match why {
            PeerIncompatible::NoCipherSuitesInCommon => ("0A0000C1", "no shared cipher"),
            PeerIncompatible::NoKxGroupsInCommon
            | PeerIncompatible::NamedGroupsExtensionRequired => ("0A0000C1", "no shared cipher"),
            PeerIncompatible::NoCertificateRequestSignatureSchemesInCommon
            | PeerIncompatible::NoSignatureSchemesInCommon => {
                ("0A000076", "no suitable signature algorithm")
            }
            PeerIncompatible::ServerDoesNotSupportTls12Or13
            | PeerIncompatible::ServerTlsVersionIsDisabledByOurConfig
            | PeerIncompatible::Tls12NotOffered
            | PeerIncompatible::Tls12NotOfferedOrEnabled
            | PeerIncompatible::Tls13RequiredForQuic
            | PeerIncompatible::SignatureAlgorithmsExtensionRequired
            | PeerIncompatible::SupportedVersionsExtensionRequired => {
                ("0A000102", "unsupported protocol")
            }
            _ => return other(error),
        },
        Error::InvalidMessage(
            InvalidMessage::InvalidContentType | InvalidMessage::UnknownProtocolVersion,
        ) => ("0A00010B", "wrong version number"),
        Error::InvalidMessage(InvalidMessage::MessageTooLarge) => {
            ("0A0000C6", "packet length too long")
        }
        Error::DecryptError => ("0A000119", "decryption failed or bad record mac"),
        Error::NoApplicationProtocol => ("0A0000EB", "no application protocol"),
        Error::PeerMisbehaved(PeerMisbehaved::InvalidCertCompression)
        | Error::InvalidCertificate(_) => ("0A000086", "certificate verify failed"),
        Error::General(text) if text.contains("no server certificate chain resolved") => {
            ("0A0000C1", "no shared cipher")
        }
        _ => return other(error),
    };
    format!("error:{code}:SSL routines::{text}")
}

fn other(error: &Error) -> String {
    format!("error:{error}")
}

/// OpenSSL numbers the alerts that come from the other side from 1000 on.
fn received(alert: AlertDescription) -> String {
    let number = u8::from(alert);
    let text = match alert {
        AlertDescription::UnexpectedMessage => "sslv3 alert unexpected message",
        AlertDescription::BadRecordMac => "sslv3 alert bad record mac",
        AlertDescription::HandshakeFailure => "sslv3 alert handshake failure",
        AlertDescription::BadCertificate => "sslv3 alert bad certificate",
        AlertDescription::UnsupportedCertificate => "sslv3 alert unsupported certificate",
        AlertDescription::CertificateRevoked => "sslv3 alert certificate revoked",
        AlertDescription::CertificateExpired => "sslv3 alert certificate expired",
        AlertDescription::CertificateUnknown => "sslv3 alert certificate unknown",
        AlertDescription::IllegalParameter => "sslv3 alert illegal parameter",
        AlertDescription::UnknownCA => "tlsv1 alert unknown ca",
        AlertDescription::AccessDenied => "tlsv1 alert access denied",
        AlertDescription::DecodeError => "tlsv1 alert decode error",
        AlertDescription::DecryptError => "tlsv1 alert decrypt error",
        AlertDescription::ProtocolVersion => "tlsv1 alert protocol version",
        AlertDescription::InsufficientSecurity => "tlsv1 alert insufficient security",
        AlertDescription::InternalError => "tlsv1 alert internal error",
        AlertDescription::UserCanceled => "tlsv1 alert user cancelled",
        AlertDescription::UnrecognisedName => "tlsv1 unrecognized name",
        AlertDescription::UnknownPSKIdentity => "tlsv1 alert unknown psk identity",
        AlertDescription::CertificateRequired => "tlsv13 alert certificate required",
        AlertDescription::NoApplicationProtocol => "tlsv1 alert no application protocol",
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
            of(&Error::AlertReceived(AlertDescription::UnknownCA)),
            "error:0A000418:SSL routines::tlsv1 alert unknown ca:SSL alert number 48"
        );
        assert_eq!(
            of(&Error::PeerIncompatible(PeerIncompatible::NoCipherSuitesInCommon)),
            "error:0A0000C1:SSL routines::no shared cipher"
        );
    }
}
