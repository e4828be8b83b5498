//! Why a response is of no use, in the words of nginx and OpenSSL.

use std::fmt;

use super::super::Fault;

/// Why a response to a question is of no use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OcspError {
    /// It is not a response.
    Unreadable,
    /// The responder could not answer; the number is of RFC 6960 section 4.2.1.
    Unsuccessful(u8),
    /// It has no content.
    Empty,
    /// Its content is of another kind.
    NotBasic,
    /// The certificate of its signer is not known.
    NoSigner,
    /// The signature is wrong, or of a kind that is not supported.
    Signature,
    /// The signer's certificate is not valid.
    Path(Fault),
    /// The authority's certificate for the signer does not allow it to answer.
    NoDelegate,
    /// The signer is neither the authority nor its delegate.
    NotTrusted,
    /// It is about other certificates.
    NotFound,
    /// `thisUpdate` is not a time.
    BadThisUpdate,
    /// `nextUpdate` is not a time.
    BadNextUpdate,
    /// `thisUpdate` is in the future.
    NotYetValid,
    /// `nextUpdate` is in the past.
    Expired,
    /// `nextUpdate` is before `thisUpdate`.
    Reversed,
}

/// OpenSSL's names of the reasons not to answer.
fn reason(number: u8) -> &'static str {
    match number {
        0 => "successful",
        1 => "malformedrequest",
        2 => "internalerror",
        3 => "trylater",
        5 => "sigrequired",
        6 => "unauthorized",
        _ => "(UNKNOWN)",
    }
}

/// A failed call of OpenSSL, with the number and the text of the reason.
fn failed(f: &mut fmt::Formatter<'_>, call: &str, number: u32, text: &str) -> fmt::Result {
    write!(f, "{call}() failed (SSL: error:{number:08X}:OCSP routines::{text})")
}

impl fmt::Display for OcspError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const VERIFY: &str = "OCSP_basic_verify";
        const VALIDITY: &str = "OCSP_check_validity";
        const BASIC: &str = "OCSP_response_get1_basic";
        match *self {
            Self::Unreadable => f.write_str(
                "d2i_OCSP_RESPONSE() failed (SSL: error:0688010A:asn1 encoding routines::nested \
                 asn1 error)",
            ),
            Self::Unsuccessful(number) => {
                write!(f, "OCSP response not successful ({number}: {})", reason(number))
            }
            Self::Empty => failed(f, BASIC, 0x1380_006c, "no response data"),
            Self::NotBasic => failed(f, BASIC, 0x1380_0068, "not basic response"),
            Self::NoSigner => failed(f, VERIFY, 0x1380_0076, "signer certificate not found"),
            Self::Signature => failed(f, VERIFY, 0x1380_0075, "signature failure"),
            Self::Path(fault) => {
                let text = format!("certificate verify error:Verify error:{}", fault.text);
                failed(f, VERIFY, 0x1380_0065, &text)
            }
            Self::NoDelegate => {
                let text = "missing ocspsigning usage error:13800070:OCSP routines::root ca not \
                            trusted";
                failed(f, VERIFY, 0x1380_0067, text)
            }
            Self::NotTrusted => failed(f, VERIFY, 0x1380_0070, "root ca not trusted"),
            Self::NotFound => f.write_str("certificate status not found in the OCSP response"),
            Self::BadThisUpdate => failed(f, VALIDITY, 0x1380_007b, "error in thisupdate field"),
            Self::BadNextUpdate => failed(f, VALIDITY, 0x1380_007a, "error in nextupdate field"),
            Self::NotYetValid => failed(f, VALIDITY, 0x1380_007e, "status not yet valid"),
            Self::Expired => failed(f, VALIDITY, 0x1380_007d, "status expired"),
            Self::Reversed => failed(f, VALIDITY, 0x1380_007c, "nextupdate before thisupdate"),
        }
    }
}
