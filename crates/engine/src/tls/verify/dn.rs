//! Who a certificate says that it is, and who has issued it.

use x509_parser::der_parser::asn1_rs::Tag;
use x509_parser::prelude::{
    AttributeTypeAndValue, ParsedExtension, RelativeDistinguishedName, X509Certificate, X509Name,
};

/// Whether two names are the same to OpenSSL: it matters neither which type of string they are
/// written in, nor capital letters, nor how much space there is (RFC 5280 section 7.1).
pub(super) fn are_same(one: &X509Name<'_>, other: &X509Name<'_>) -> bool {
    let count = |name: &X509Name<'_>| name.iter_rdn().count();
    one.as_raw() == other.as_raw() || count(one) == count(other) && is_below(one, other)
}

/// Whether a name lies in the subtree that another is the head of.
pub(super) fn is_below(name: &X509Name<'_>, head: &X509Name<'_>) -> bool {
    let mut parts = name.iter_rdn();
    head.iter_rdn().all(|wanted| parts.next().is_some_and(|part| pairs(part) == pairs(wanted)))
}

/// A certificate with its own name as its issuer's.
pub(super) fn is_self_issued(certificate: &X509Certificate<'_>) -> bool {
    are_same(certificate.subject(), certificate.issuer())
}

/// The same, unless it says that the key of somebody else has signed it.
pub(super) fn is_self_signed(certificate: &X509Certificate<'_>) -> bool {
    is_self_issued(certificate)
        && super::extensions::are_sound(certificate)
        && has_key_of(certificate, certificate)
}

/// Whether what a certificate says of its issuer's key fits `issuer` (RFC 5280 section 4.2.1.1).
pub(super) fn has_key_of(issued: &X509Certificate<'_>, issuer: &X509Certificate<'_>) -> bool {
    let Some(authority) =
        issued.extensions().iter().find_map(|extension| match extension.parsed_extension() {
            ParsedExtension::AuthorityKeyIdentifier(authority) => Some(authority),
            _ => None,
        })
    else {
        return true;
    };
    let own = issuer.extensions().iter().find_map(|extension| match extension.parsed_extension() {
        ParsedExtension::SubjectKeyIdentifier(own) => Some(own),
        _ => None,
    });
    let other_key =
        matches!((&authority.key_identifier, own), (Some(key), Some(own)) if key != own);
    let other_serial = authority
        .authority_cert_serial
        .is_some_and(|serial| serial != issuer.tbs_certificate.raw_serial());
    !other_key && !other_serial
}

/// A part of a name as sorted pairs of a type and a value.
fn pairs(part: &RelativeDistinguishedName<'_>) -> Vec<(Vec<u8>, Vec<u8>)> {
    let pair = |attribute: &AttributeTypeAndValue<'_>| {
        (attribute.attr_type().as_bytes().to_vec(), value(attribute))
    };
    let mut pairs: Vec<_> = part.iter().map(pair).collect();
    pairs.sort();
    pairs
}

fn value(attribute: &AttributeTypeAndValue<'_>) -> Vec<u8> {
    let (tag, data) = (attribute.attr_value().tag(), attribute.attr_value().data);
    let text = match tag {
        Tag::Utf8String | Tag::PrintableString | Tag::Ia5String | Tag::VisibleString => {
            data.to_vec()
        }
        Tag::T61String => {
            data.iter().map(|&byte| char::from(byte)).collect::<String>().into_bytes()
        }
        Tag::BmpString => {
            let units = data.chunks_exact(2).map(|pair| u16::from_be_bytes([pair[0], pair[1]]));
            String::from_utf16_lossy(&units.collect::<Vec<u16>>()).into_bytes()
        }
        _ => {
            // Not a string that OpenSSL compares as one: the type counts, too.
            let tag = tag.0.to_be_bytes();
            return [b"\0".as_slice(), &tag, data].concat();
        }
    };
    let words = text.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty());
    words.collect::<Vec<_>>().join(&b' ').to_ascii_lowercase()
}
