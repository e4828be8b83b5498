//! Which names an authority may vouch for (RFC 5280 section 4.2.1.10).

use std::mem::discriminant;

use x509_parser::prelude::{GeneralName, GeneralSubtree, ParsedExtension, X509Certificate};

use super::{Fault, dn};

/// Whether the names of a certificate are within what an authority above it may vouch for. The
/// common name counts for `leaf` ones that have no alternative name of a host. Each pair of a name
/// and a subtree takes one of the `pairs_left`.
pub(super) fn obeyed(
    certificate: &X509Certificate<'_>,
    above: &X509Certificate<'_>,
    leaf: bool,
    pairs_left: &mut usize,
) -> Result<(), Fault> {
    let constraints = above.extensions().iter().find_map(|one| match one.parsed_extension() {
        ParsedExtension::NameConstraints(constraints) => Some(constraints),
        _ => None,
    });
    let Some(constraints) = constraints else { return Ok(()) };
    let permitted = bases(&constraints.permitted_subtrees);
    let excluded = bases(&constraints.excluded_subtrees);
    let names = names(certificate, leaf);
    let pairs = names.len() * (permitted.len() + excluded.len());
    *pairs_left = pairs_left.checked_sub(pairs).ok_or(Fault::NAME_SYNTAX)?;
    names.iter().try_for_each(|name| is_allowed(name, &permitted, &excluded))
}

/// All names of a certificate that constraints can be about.
fn names<'a>(certificate: &'a X509Certificate<'_>, leaf: bool) -> Vec<GeneralName<'a>> {
    let subject = certificate.subject();
    let mut names = Vec::new();
    if subject.iter_rdn().next().is_some() {
        names.push(GeneralName::DirectoryName(subject.clone()));
    }
    let texts = subject.iter_email().filter_map(|mail| mail.as_str().ok());
    names.extend(texts.map(GeneralName::RFC822Name));
    let alternatives = certificate.subject_alternative_name().ok().flatten();
    let alternatives =
        alternatives.map(|extension| extension.value.general_names.as_slice()).unwrap_or_default();
    let host = alternatives.iter().any(|name| matches!(name, GeneralName::DNSName(_)));
    names.extend(alternatives.iter().cloned());
    if leaf && !host {
        let common = subject.iter_common_name().filter_map(|name| name.as_str().ok());
        names.extend(common.filter(|name| is_host(name)).map(GeneralName::DNSName));
    }
    names
}

fn bases<'a>(trees: &Option<Vec<GeneralSubtree<'a>>>) -> Vec<GeneralName<'a>> {
    trees.iter().flatten().map(|tree| tree.base.clone()).collect()
}

fn is_allowed(
    name: &GeneralName<'_>,
    permitted: &[GeneralName<'_>],
    excluded: &[GeneralName<'_>],
) -> Result<(), Fault> {
    if matches!(name, GeneralName::Invalid(..)) {
        return Err(Fault::NAME_SYNTAX);
    }
    let like = |tree: &&GeneralName<'_>| discriminant(*tree) == discriminant(name);
    let (mut some, mut fits) = (false, false);
    for tree in permitted.iter().filter(like) {
        some = true;
        fits = fits || is_in(name, tree)?;
    }
    if some && !fits {
        return Err(Fault::NOT_PERMITTED);
    }
    for tree in excluded.iter().filter(like) {
        if is_in(name, tree)? {
            return Err(Fault::EXCLUDED);
        }
    }
    Ok(())
}

/// Whether a name lies in a subtree of its kind.
fn is_in(name: &GeneralName<'_>, tree: &GeneralName<'_>) -> Result<bool, Fault> {
    match (name, tree) {
        (GeneralName::DirectoryName(name), GeneralName::DirectoryName(tree)) => {
            Ok(dn::is_below(name, tree))
        }
        (GeneralName::DNSName(name), GeneralName::DNSName(tree)) => Ok(is_below(name, tree)),
        (GeneralName::RFC822Name(name), GeneralName::RFC822Name(tree)) => is_mail(name, tree),
        (GeneralName::URI(name), GeneralName::URI(tree)) => {
            let host = host(name).ok_or(Fault::NAME_SYNTAX)?;
            Ok(is_host_of(host, tree))
        }
        (GeneralName::IPAddress(name), GeneralName::IPAddress(tree)) => is_in_net(name, tree),
        _ => Err(Fault::CONSTRAINT_KIND),
    }
}

/// Whether a host is the domain or below it; an empty one holds all.
fn is_below(name: &str, domain: &str) -> bool {
    let (name, domain) = (name.as_bytes(), domain.as_bytes());
    let Some(head) = name.len().checked_sub(domain.len()) else { return false };
    let whole = head == 0 || domain.is_empty() || domain[0] == b'.' || name[head - 1] == b'.';
    whole && name[head..].eq_ignore_ascii_case(domain)
}

/// Whether a host is the one meant, or below a domain that begins with a dot.
fn is_host_of(host: &str, tree: &str) -> bool {
    match tree.starts_with('.') {
        true => host.len() > tree.len() && is_below(host, tree),
        false => host.eq_ignore_ascii_case(tree),
    }
}

/// A mailbox, all of a host, or all of the hosts below a domain.
fn is_mail(name: &str, tree: &str) -> Result<bool, Fault> {
    let (mailbox, host) = name.rsplit_once('@').ok_or(Fault::NAME_SYNTAX)?;
    match tree.rsplit_once('@') {
        Some((wanted, at)) => {
            Ok((wanted.is_empty() || wanted == mailbox) && host.eq_ignore_ascii_case(at))
        }
        None => Ok(is_host_of(host, tree)),
    }
}

/// The host of a URI.
fn host(uri: &str) -> Option<&str> {
    let (_, rest) = uri.split_once(':')?;
    let rest = rest.strip_prefix("//")?;
    let end = rest.find([':', '/']).unwrap_or(rest.len());
    Some(&rest[..end]).filter(|host| !host.is_empty())
}

/// `tree` is an address and a mask.
fn is_in_net(name: &[u8], tree: &[u8]) -> Result<bool, Fault> {
    if !matches!(name.len(), 4 | 16) || !matches!(tree.len(), 8 | 32) {
        return Err(Fault::NAME_SYNTAX);
    }
    let (net, mask) = tree.split_at(tree.len() / 2);
    let mut bytes = name.iter().zip(net).zip(mask);
    Ok(name.len() == net.len() && bytes.all(|((byte, net), mask)| (byte ^ net) & mask == 0))
}

/// Whether a common name can be a host's: labels of letters, digits and hyphens, at least two.
fn is_host(name: &str) -> bool {
    let label = |label: &str| {
        let inner = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
        !label.is_empty()
            && label.bytes().all(inner)
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    name.contains('.') && name.split('.').all(label)
}
