//! Name constraints of certificate authorities (RFC 5280 section 4.2.1.10).

use super::super::der::{self, Reader, SEQUENCE};
use super::certificate::Certificate;
use super::general_name::{GeneralName, KINDS, Kind};
use super::{Fault, dn};

/// `id-on-SmtpUTF8Mailbox` (RFC 8398): a mailbox, although its kind is `otherName`.
const UNICODE_MAILBOX: &[u8] = &[0x2b, 6, 1, 5, 5, 7, 8, 9];

/// The cost of a pair of name and subtree besides the bytes compared.
const PAIR: usize = 16;

/// The comparisons that one peer may cause, in bytes plus [`PAIR`] per pair: a peer may send
/// thousands of names and constraints.
pub(super) struct Budget(usize);

impl Budget {
    /// Enough for a thousand subtrees and forty names of common length.
    pub(super) const MOST: Self = Self(1 << 21);

    fn take(&mut self, bytes: usize) -> Result<(), Fault> {
        self.0 = self.0.checked_sub(bytes + PAIR).ok_or(Fault::UNSPECIFIED)?;
        Ok(())
    }
}

/// The subtrees of an authority by kind of name.
#[derive(Debug, Default)]
pub(super) struct Constraints {
    permitted: [Vec<Tree>; KINDS],
    excluded: [Vec<Tree>; KINDS],
}

#[derive(Debug)]
struct Tree {
    base: Box<[u8]>,
    /// The subtree has a minimum or maximum depth, which is unsupported.
    bounded: bool,
}

impl Constraints {
    /// Parses the extension's value.
    pub(super) fn read(value: &[u8]) -> Option<Self> {
        let mut reader = Reader::new(Reader::only(value, SEQUENCE)?);
        let permitted =
            reader.optional(der::constructed(0))?.map_or(Some(Default::default()), trees)?;
        let excluded =
            reader.optional(der::constructed(1))?.map_or(Some(Default::default()), trees)?;
        reader.end()?;
        Some(Self { permitted, excluded })
    }

    /// Whether the constraints allow all names of a certificate below. The common name of a `leaf`
    /// counts if it has no alternative DNS name.
    pub(super) fn obeyed(
        &self,
        certificate: &Certificate,
        leaf: bool,
        budget: &mut Budget,
    ) -> Result<(), Fault> {
        if !certificate.subject.is_empty() {
            self.allows(Kind::Directory, &certificate.subject, budget)?;
        }
        let attributes = dn::parts(certificate.raw_subject()).unwrap_or_default().concat();
        for mail in attributes.iter().filter(|attribute| attribute.id == dn::EMAIL) {
            if mail.tag != dn::IA5 {
                return Err(Fault::NAME_SYNTAX);
            }
            self.allows(Kind::Mail, mail.value, budget)?;
        }
        let alternatives = certificate.extensions.names.as_deref().unwrap_or_default();
        for name in alternatives {
            self.allows(name.kind, &name.value, budget)?;
        }
        if leaf && !alternatives.iter().any(|name| name.kind == Kind::Host) {
            for common in attributes.iter().filter(|attribute| attribute.id == dn::COMMON_NAME) {
                let text = dn::text(common.tag, common.value).ok_or(Fault::NAME_SYNTAX)?;
                let text = text.trim_end_matches('\0');
                if text.contains('\0') {
                    return Err(Fault::NAME_SYNTAX);
                }
                if is_host(text) {
                    self.allows(Kind::Host, text.as_bytes(), budget)?;
                }
            }
        }
        Ok(())
    }

    fn allows(&self, kind: Kind, name: &[u8], budget: &mut Budget) -> Result<(), Fault> {
        let id = if kind == Kind::Other { id(name) } else { None };
        let unicode = id == Some(UNICODE_MAILBOX);
        let kind = if unicode { Kind::Mail } else { kind };
        let like = |tree: &&Tree| kind != Kind::Other || self::id(&tree.base) == id;
        let mut is_in = |tree: &Tree| {
            budget.take(name.len().min(tree.base.len()))?;
            // Internationalized mailboxes would need a conversion; as constrained names they are
            // rejected.
            if unicode { Err(Fault::NAME_SYNTAX) } else { is_in(kind, name, &tree.base) }
        };
        let (mut some, mut fits) = (false, false);
        for tree in self.permitted[kind as usize].iter().filter(like) {
            tree.understood()?;
            some = true;
            fits = fits || is_in(tree)?;
        }
        if some && !fits {
            return Err(Fault::NOT_PERMITTED);
        }
        for tree in self.excluded[kind as usize].iter().filter(like) {
            tree.understood()?;
            if is_in(tree)? {
                return Err(Fault::EXCLUDED);
            }
        }
        Ok(())
    }
}

impl Tree {
    fn understood(&self) -> Result<(), Fault> {
        if self.bounded { Err(Fault::BOUNDED) } else { Ok(()) }
    }
}

fn trees(list: &[u8]) -> Option<[Vec<Tree>; KINDS]> {
    let mut trees: [Vec<Tree>; KINDS] = Default::default();
    for tree in Reader::new(list).each(SEQUENCE) {
        let mut reader = Reader::new(tree?);
        let GeneralName { kind, value } = GeneralName::read(&mut reader)?;
        let least = reader.optional(der::primitive(0))?;
        let most = reader.optional(der::primitive(1))?;
        reader.end()?;
        let bounded = most.is_some() || least.is_some_and(|least| least != [0]);
        trees[kind as usize].push(Tree { base: value, bounded });
    }
    Some(trees)
}

/// The object identifier of an `otherName`.
fn id(other: &[u8]) -> Option<&[u8]> {
    Reader::new(other).oid()
}

/// Whether a name lies in a subtree of the same kind.
fn is_in(kind: Kind, name: &[u8], tree: &[u8]) -> Result<bool, Fault> {
    match kind {
        Kind::Directory => Ok(name.starts_with(tree)),
        Kind::Host => Ok(is_below(name, tree)),
        Kind::Mail => is_mail(name, tree),
        Kind::Link => Ok(is_host_of(host(name).ok_or(Fault::NAME_SYNTAX)?, tree)),
        Kind::Address => is_in_net(name, tree),
        Kind::Other | Kind::X400 | Kind::Party | Kind::Registered => Err(Fault::CONSTRAINT_KIND),
    }
}

/// Whether `name` is `domain` or below it; an empty domain contains every name.
fn is_below(name: &[u8], domain: &[u8]) -> bool {
    let Some(head) = name.len().checked_sub(domain.len()) else { return false };
    let whole = head == 0 || domain.is_empty() || domain[0] == b'.' || name[head - 1] == b'.';
    whole && name[head..].eq_ignore_ascii_case(domain)
}

/// Whether `host` equals `tree`, or lies below it if it starts with a dot.
fn is_host_of(host: &[u8], tree: &[u8]) -> bool {
    match tree.starts_with(b".") {
        true => host.len() > tree.len() && is_below(host, tree),
        false => host.eq_ignore_ascii_case(tree),
    }
}

/// Whether an address matches a mailbox, a host, or all hosts below a domain.
fn is_mail(name: &[u8], tree: &[u8]) -> Result<bool, Fault> {
    let (mailbox, host) = at_sign(name).ok_or(Fault::NAME_SYNTAX)?;
    match at_sign(tree) {
        Some((wanted, at)) => {
            if wanted.len() == mailbox.len() && [wanted, mailbox].iter().any(|one| one.contains(&0))
            {
                return Err(Fault::NAME_SYNTAX);
            }
            Ok((wanted.is_empty() || wanted == mailbox) && host.eq_ignore_ascii_case(at))
        }
        // As in OpenSSL, a domain is compared with the whole address, local part included.
        None if tree.starts_with(b".") => Ok(is_host_of(name, tree)),
        None => Ok(host.eq_ignore_ascii_case(tree)),
    }
}

/// The parts before and after the last `@`.
fn at_sign(mail: &[u8]) -> Option<(&[u8], &[u8])> {
    let at = mail.iter().rposition(|byte| *byte == b'@')?;
    Some((&mail[..at], &mail[at + 1..]))
}

/// The host of a URI.
fn host(uri: &[u8]) -> Option<&[u8]> {
    let colon = uri.iter().position(|byte| *byte == b':')?;
    let rest = uri[colon + 1..].strip_prefix(b"//")?;
    let find = |wanted: u8| rest.iter().position(|byte| *byte == wanted);
    let end = find(b':').or_else(|| find(b'/')).unwrap_or(rest.len());
    Some(&rest[..end]).filter(|host| !host.is_empty())
}

/// Whether an address lies in `tree`, an address and a mask.
fn is_in_net(name: &[u8], tree: &[u8]) -> Result<bool, Fault> {
    if !matches!(name.len(), 4 | 16) || !matches!(tree.len(), 8 | 32) {
        return Err(Fault::NAME_SYNTAX);
    }
    let (net, mask) = tree.split_at(tree.len() / 2);
    let mut bytes = name.iter().zip(net).zip(mask);
    Ok(name.len() == net.len() && bytes.all(|((byte, net), mask)| (byte ^ net) & mask == 0))
}

/// Whether a common name looks like a host name: at least two labels of letters, digits and
/// hyphens.
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
