//! OpenSSL's short names of the attributes of distinguished names.

/// Short names by the last arc of an object identifier.
type Names = &'static [(u8, &'static str)];

/// Prefixes of object identifiers with the names below them.
const ARCS: [(&[u8], Names); 4] = [
    (&[0x55, 4], X520),
    (&[9, 0x92, 0x26, 0x89, 0x93, 0xf2, 0x2c, 0x64, 1], PILOT),
    (&[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 9], PKCS9),
    (&[0x2b, 6, 1, 4, 1, 0x82, 0x37, 0x3c, 2, 1], PLACE),
];

/// The short name of an attribute with this encoded object identifier.
pub(super) fn short_name(id: &[u8]) -> Option<&'static str> {
    let (last, arc) = id.split_last()?;
    let (_, names) = ARCS.iter().find(|(known, _)| *known == arc)?;
    names.iter().find(|(number, _)| number == last).map(|(_, name)| *name)
}

/// An object identifier in dotted notation; `None` if it is malformed.
pub(super) fn numbers(id: &[u8]) -> Option<String> {
    let mut numbers: Vec<u128> = Vec::new();
    let mut number: u128 = 0;
    for byte in id {
        if number >> 120 != 0 {
            return None;
        }
        number = number << 7 | u128::from(byte & 0x7f);
        if byte & 0x80 == 0 {
            if numbers.is_empty() {
                // The first two arcs share one number.
                let first = (number / 40).min(2);
                numbers.push(first);
                number -= first * 40;
            }
            numbers.push(number);
            number = 0;
        }
    }
    let whole = id.last().is_some_and(|last| last & 0x80 == 0);
    let texts: Vec<String> = numbers.iter().map(u128::to_string).collect();
    whole.then(|| texts.join("."))
}

/// X.520 (`2.5.4`).
const X520: Names = &[
    (3, "CN"),
    (4, "SN"),
    (5, "serialNumber"),
    (6, "C"),
    (7, "L"),
    (8, "ST"),
    (9, "street"),
    (10, "O"),
    (11, "OU"),
    (12, "title"),
    (13, "description"),
    (14, "searchGuide"),
    (15, "businessCategory"),
    (16, "postalAddress"),
    (17, "postalCode"),
    (18, "postOfficeBox"),
    (19, "physicalDeliveryOfficeName"),
    (20, "telephoneNumber"),
    (21, "telexNumber"),
    (22, "teletexTerminalIdentifier"),
    (23, "facsimileTelephoneNumber"),
    (24, "x121Address"),
    (25, "internationaliSDNNumber"),
    (26, "registeredAddress"),
    (27, "destinationIndicator"),
    (28, "preferredDeliveryMethod"),
    (29, "presentationAddress"),
    (30, "supportedApplicationContext"),
    (31, "member"),
    (32, "owner"),
    (33, "roleOccupant"),
    (34, "seeAlso"),
    (35, "userPassword"),
    (36, "userCertificate"),
    (37, "cACertificate"),
    (38, "authorityRevocationList"),
    (39, "certificateRevocationList"),
    (40, "crossCertificatePair"),
    (41, "name"),
    (42, "GN"),
    (43, "initials"),
    (44, "generationQualifier"),
    (45, "x500UniqueIdentifier"),
    (46, "dnQualifier"),
    (47, "enhancedSearchGuide"),
    (48, "protocolInformation"),
    (49, "distinguishedName"),
    (50, "uniqueMember"),
    (51, "houseIdentifier"),
    (52, "supportedAlgorithms"),
    (53, "deltaRevocationList"),
    (54, "dmdName"),
    (65, "pseudonym"),
    (72, "role"),
    (97, "organizationIdentifier"),
    (98, "c3"),
    (99, "n3"),
    (100, "dnsName"),
];

/// RFC 4524 and RFC 1274 (`0.9.2342.19200300.100.1`).
const PILOT: Names = &[
    (1, "UID"),
    (2, "textEncodedORAddress"),
    (3, "mail"),
    (4, "info"),
    (5, "favouriteDrink"),
    (6, "roomNumber"),
    (7, "photo"),
    (8, "userClass"),
    (9, "host"),
    (10, "manager"),
    (11, "documentIdentifier"),
    (12, "documentTitle"),
    (13, "documentVersion"),
    (14, "documentAuthor"),
    (15, "documentLocation"),
    (20, "homeTelephoneNumber"),
    (21, "secretary"),
    (22, "otherMailbox"),
    (23, "lastModifiedTime"),
    (24, "lastModifiedBy"),
    (25, "DC"),
    (26, "aRecord"),
    (27, "pilotAttributeType27"),
    (28, "mXRecord"),
    (29, "nSRecord"),
    (30, "sOARecord"),
    (31, "cNAMERecord"),
    (37, "associatedDomain"),
    (38, "associatedName"),
    (39, "homePostalAddress"),
    (40, "personalTitle"),
    (41, "mobileTelephoneNumber"),
    (42, "pagerTelephoneNumber"),
    (43, "friendlyCountryName"),
    (44, "uid"),
    (45, "organizationalStatus"),
    (46, "janetMailbox"),
    (47, "mailPreferenceOption"),
    (48, "buildingName"),
    (49, "dSAQuality"),
    (50, "singleLevelQuality"),
    (51, "subtreeMinimumQuality"),
    (52, "subtreeMaximumQuality"),
    (53, "personalSignature"),
    (54, "dITRedirect"),
    (55, "audio"),
    (56, "documentPublisher"),
];

/// PKCS #9, RFC 2985 (`1.2.840.113549.1.9`).
const PKCS9: Names = &[
    (1, "emailAddress"),
    (2, "unstructuredName"),
    (3, "contentType"),
    (4, "messageDigest"),
    (5, "signingTime"),
    (6, "countersignature"),
    (7, "challengePassword"),
    (8, "unstructuredAddress"),
    (9, "extendedCertificateAttributes"),
    (14, "extReq"),
    (15, "SMIME-CAPS"),
    (16, "SMIME"),
    (20, "friendlyName"),
    (21, "localKeyID"),
];

/// The jurisdiction of extended validation certificates (`1.3.6.1.4.1.311.60.2.1`).
const PLACE: Names = &[(1, "jurisdictionL"), (2, "jurisdictionST"), (3, "jurisdictionC")];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_identifiers_have_no_short_name() {
        assert_eq!(short_name(&[0x55, 4, 3]), Some("CN"));
        assert_eq!(
            short_name(&[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 9, 1]),
            Some("emailAddress")
        );
        assert_eq!(short_name(&[0x55, 4, 1]), None);
        assert_eq!(numbers(&[0x2a, 3, 0x84, 0x05]).as_deref(), Some("1.2.3.517"));
        assert_eq!(numbers(&[0x88, 0x37, 3]).as_deref(), Some("2.999.3"));
        assert_eq!(numbers(&[0x2a, 0x83]), None);
        assert_eq!(numbers(&[0xff; 30]), None);
    }
}
