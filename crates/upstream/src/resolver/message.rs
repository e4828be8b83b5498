//! DNS messages (RFC 1035, RFC 2782, RFC 3596), with nginx's leniency and wording: names over 255
//! octets pass, records of unknown types are skipped.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::Reason;
use super::error::BadMessage;

const HEADER: usize = 12;

/// The limit of compression pointers followed in one name, which bounds the work of a malicious
/// message.
const MAX_POINTERS: usize = 128;

/// The limit of a name assembled from a message, in octets.
const MAX_NAME: usize = 1024;

/// The limit of a label in a query (RFC 1035, 2.3.4).
const MAX_LABEL: usize = 63;

/// Record types.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Kind {
    A = 1,
    Aaaa = 28,
    Service = 33,
}

const CNAME: u16 = 5;
const DNAME: u16 = 39;
const INTERNET: u16 = 1;

/// An SRV record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Srv {
    pub(super) priority: u16,
    pub(super) weight: u16,
    pub(super) port: u16,
    pub(super) target: String,
}

/// A parsed response.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Response {
    pub(super) id: u16,
    /// The response code, 0 for none.
    pub(super) code: u16,
    pub(super) truncated: bool,
    /// The queried name, in lower case; empty if the response code means that the message has no
    /// question to check.
    pub(super) question: String,
    pub(super) kind: u16,
    /// The smallest TTL of all records, in seconds.
    pub(super) ttl: u32,
    pub(super) records: u16,
    pub(super) addresses: Vec<IpAddr>,
    pub(super) services: Vec<Srv>,
    /// The last CNAME.
    pub(super) alias: Option<String>,
    /// The types of records that do not belong in the response.
    pub(super) unexpected: Vec<u16>,
}

impl Response {
    /// Whether it is successful and has an IPv4 address.
    pub(super) fn has_ipv4(&self) -> bool {
        self.code == 0 && self.addresses.iter().any(IpAddr::is_ipv4)
    }
}

/// A query for a name; `None` for a name that no query can hold.
pub(super) fn query(id: u16, name: &str, kind: Kind) -> Option<Vec<u8>> {
    let mut message = Vec::with_capacity(HEADER + name.len() + 6);
    message.extend_from_slice(&id.to_be_bytes());
    // A standard query with recursion desired and one question.
    message.extend_from_slice(&[1, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
    for label in name.split('.') {
        if label.is_empty() || label.len() > MAX_LABEL {
            return None;
        }
        message.push(label.len() as u8);
        message.extend_from_slice(label.as_bytes());
    }
    message.push(0);
    message.extend_from_slice(&(kind as u16).to_be_bytes());
    message.extend_from_slice(&INTERNET.to_be_bytes());
    Some(message)
}

/// Parses a response.
///
/// # Errors
/// A message to ignore, with the line for the error log.
pub(crate) fn parse(message: &[u8], over_tcp: bool) -> Result<Response, BadMessage> {
    let mut reader = Reader { message, at: 0 };
    let (id, flags) = (reader.u16()?, reader.u16()?);
    let (questions, records) = (reader.u16()?, reader.u16()?);
    reader.skip(4)?;
    let truncated = flags & 0x0200 != 0;
    if flags & 0xf870 != 0x8000 || (truncated && over_tcp) {
        let transport = if over_tcp { "TCP" } else { "UDP" };
        return Err(format!("invalid {transport} DNS response {id} fl:{flags:04X}").into());
    }
    let code = flags & 15;
    let mut response = Response { id, code, truncated, records, ..Response::default() };
    if Reason(code) == Reason::FORMAT_ERROR || code > Reason::REFUSED.0 {
        return Ok(response);
    }
    if questions != 1 {
        return Err("invalid number of questions in DNS response".into());
    }
    response.question = reader.question()?;
    response.kind = reader.u16()?;
    let class = reader.u16()?;
    if class != INTERNET {
        return Err(format!("unknown query class {class} in DNS response").into());
    }
    if code == 0 && !truncated {
        response.ttl = u32::MAX;
        for _ in 0..records {
            reader.record(&mut response)?;
        }
    }
    Ok(response)
}

struct Reader<'a> {
    message: &'a [u8],
    at: usize,
}

fn short() -> BadMessage {
    "short DNS response".into()
}

impl Reader<'_> {
    fn take<const N: usize>(&mut self) -> Result<[u8; N], BadMessage> {
        let bytes = self.message.get(self.at..self.at + N).ok_or_else(short)?;
        self.at += N;
        bytes.try_into().map_err(|_| short())
    }

    fn u16(&mut self) -> Result<u16, BadMessage> {
        self.take().map(u16::from_be_bytes)
    }

    fn skip(&mut self, bytes: usize) -> Result<(), BadMessage> {
        self.at += bytes;
        if self.at > self.message.len() { Err(short()) } else { Ok(()) }
    }

    /// The name of the question, which cannot contain pointers.
    fn question(&mut self) -> Result<String, BadMessage> {
        let start = self.at;
        let mut at = start;
        loop {
            match self.message.get(at) {
                None => return Err(short()),
                Some(0) if at == start => {
                    return Err("zero-length domain name in DNS response".into());
                }
                Some(0) => break,
                Some(length) if length & 0xc0 != 0 => {
                    return Err("unexpected compression pointer in DNS response".into());
                }
                Some(&length) => at += 1 + usize::from(length),
            }
        }
        let name = name_at(self.message, start)?;
        self.at = at + 1;
        Ok(name)
    }

    /// Skips the name of a record, which is not checked.
    fn skip_name(&mut self) -> Result<(), BadMessage> {
        let start = self.at;
        loop {
            match self.message.get(self.at) {
                None => return Err(short()),
                Some(0) if self.at == start => return Err("invalid name in DNS response".into()),
                Some(0) => return self.skip(1),
                Some(length) if length & 0xc0 != 0 => return self.skip(2),
                Some(&length) => self.at += 1 + usize::from(length),
            }
        }
    }

    fn record(&mut self, response: &mut Response) -> Result<(), BadMessage> {
        self.skip_name()?;
        let (kind, class) = (self.u16()?, self.u16()?);
        let ttl = u32::from_be_bytes(self.take()?);
        let length = usize::from(self.u16()?);
        if class != INTERNET {
            return Err(format!("unexpected RR class {class} in DNS response").into());
        }
        // A negative TTL counts as zero (RFC 2181, 8).
        let ttl = if ttl > i32::MAX as u32 { 0 } else { ttl };
        response.ttl = response.ttl.min(ttl);
        let start = self.at;
        self.data(kind, length, response)?;
        self.at = start;
        self.skip(length)
    }

    fn data(
        &mut self,
        kind: u16,
        length: usize,
        response: &mut Response,
    ) -> Result<(), BadMessage> {
        let asked = |kind: Kind| response.kind == kind as u16;
        match kind {
            1 if !asked(Kind::A) => Err("unexpected A record in DNS response".into()),
            1 if length != 4 => Err("invalid A record in DNS response".into()),
            1 => {
                let octets: [u8; 4] = self.take()?;
                response.addresses.push(Ipv4Addr::from(octets).into());
                Ok(())
            }
            28 if !asked(Kind::Aaaa) => Err("unexpected AAAA record in DNS response".into()),
            28 if length != 16 => Err("invalid AAAA record in DNS response".into()),
            28 => {
                let octets: [u8; 16] = self.take()?;
                response.addresses.push(Ipv6Addr::from(octets).into());
                Ok(())
            }
            33 if asked(Kind::Service) => {
                let (priority, weight, port) = (self.u16()?, self.u16()?, self.u16()?);
                let target = name_at(self.message, self.at)?;
                let weight = weight.max(1);
                response.services.push(Srv { priority, weight, port, target });
                Ok(())
            }
            CNAME => {
                response.alias = Some(name_at(self.message, self.at)?);
                Ok(())
            }
            DNAME => Ok(()),
            other => {
                response.unexpected.push(other);
                Ok(())
            }
        }
    }
}

/// The name at an offset of the message, in lower case, without a final dot.
fn name_at(message: &[u8], mut at: usize) -> Result<String, BadMessage> {
    let mut name = Vec::new();
    let mut pointers = 0;
    loop {
        let length = *message.get(at).ok_or("name is out of DNS response")?;
        if length == 0 {
            break;
        }
        if length & 0xc0 != 0 {
            pointers += 1;
            if pointers > MAX_POINTERS {
                return Err("compression pointers loop in DNS response".into());
            }
            let low = *message.get(at + 1).ok_or("name is out of DNS response")?;
            at = usize::from(length & 0x3f) << 8 | usize::from(low);
            continue;
        }
        let label = message.get(at + 1..at + 1 + usize::from(length));
        let label = label.ok_or("name is out of DNS response")?;
        if !name.is_empty() {
            name.push(b'.');
        }
        name.extend(label.iter().map(u8::to_ascii_lowercase));
        if name.len() > MAX_NAME {
            return Err("name is too long in DNS response".into());
        }
        at += 1 + usize::from(length);
    }
    Ok(String::from_utf8_lossy(&name).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A response with one question and raw records.
    fn response(flags: u16, name: &str, kind: Kind, records: &[&[u8]]) -> Vec<u8> {
        let mut message = query(7, name, kind).unwrap();
        message[2..4].copy_from_slice(&flags.to_be_bytes());
        message[7] = records.len() as u8;
        for record in records {
            message.extend_from_slice(record);
        }
        message
    }

    /// A record of the name in the question.
    fn record(kind: u16, ttl: u32, data: &[u8]) -> Vec<u8> {
        let mut record = vec![0xc0, 12];
        record.extend_from_slice(&kind.to_be_bytes());
        record.extend_from_slice(&[0, 1]);
        record.extend_from_slice(&ttl.to_be_bytes());
        record.extend_from_slice(&(data.len() as u16).to_be_bytes());
        record.extend_from_slice(data);
        record
    }

    #[test]
    fn addresses_and_the_least_ttl() {
        let records = [record(1, 300, &[127, 0, 0, 1]), record(1, 20, &[127, 0, 0, 2])];
        let message = response(0x8180, "A.example.net", Kind::A, &[&records[0], &records[1]]);
        let parsed = parse(&message, false).unwrap();
        assert_eq!((parsed.id, parsed.code, parsed.ttl), (7, 0, 20));
        assert_eq!(parsed.question, "a.example.net");
        let loopback = |last| IpAddr::from([127, 0, 0, last]);
        assert_eq!(parsed.addresses, [loopback(1), loopback(2)]);
    }

    #[test]
    fn an_alias_is_followed_through_pointers() {
        let alias = record(5, 60, b"\x05alias\xc0\x12");
        let message = response(0x8180, "cname.example.net", Kind::A, &[&alias]);
        let parsed = parse(&message, false).unwrap();
        assert_eq!(parsed.alias.as_deref(), Some("alias.example.net"));
    }

    #[test]
    fn services() {
        let service = record(33, 60, b"\0\x01\0\0\x1f\x90\x01x\x03net\0");
        let message = response(0x8180, "_http._tcp.x", Kind::Service, &[&service]);
        let expected = Srv { priority: 1, weight: 1, port: 8080, target: "x.net".into() };
        assert_eq!(parse(&message, false).unwrap().services, [expected]);
    }

    #[test]
    fn messages_that_are_ignored() {
        let fault = |flags, records: &[&[u8]]| {
            parse(&response(flags, "a", Kind::A, records), false).unwrap_err().to_string()
        };
        assert_eq!(fault(0x0100, &[]), "invalid UDP DNS response 7 fl:0100");
        let address = record(1, 1, &[127, 0, 0, 1]);
        assert_eq!(fault(0x8180, &[&address[..address.len() - 1]]), "short DNS response");
        let short = record(1, 1, &[127, 0, 0]);
        assert_eq!(fault(0x8180, &[&short]), "invalid A record in DNS response");
        let v6 = record(28, 1, &[0; 16]);
        assert_eq!(fault(0x8180, &[&v6]), "unexpected AAAA record in DNS response");
        let looped = record(5, 1, &[0xc0, 31]);
        assert_eq!(fault(0x8180, &[&looped]), "compression pointers loop in DNS response");
        assert_eq!(parse(&[0; 11], false).unwrap_err().to_string(), "short DNS response");
    }

    #[test]
    fn every_cut_of_a_message_is_survived() {
        let alias = record(5, 60, b"\x05alias\xc0\x12");
        let address = record(1, 1, &[127, 0, 0, 1]);
        let message = response(0x8180, "cname.example.net", Kind::A, &[&alias, &address]);
        for end in 0..message.len() {
            assert!(parse(&message[..end], false).is_err());
        }
        for at in 0..message.len() {
            let mut damaged = message.clone();
            damaged[at] ^= 0xff;
            let _ = parse(&damaged, true);
        }
    }

    #[test]
    fn names_that_no_query_can_hold() {
        assert_eq!(query(1, "a..b", Kind::A), None);
        assert_eq!(query(1, "", Kind::A), None);
        assert_eq!(query(1, &"a".repeat(64), Kind::A), None);
        assert!(query(1, &"a".repeat(63), Kind::A).is_some());
    }
}
