//! Entry point of a fuzz target: fields from the network are judged without a panic, and what is
//! stored of them is judged alike.

use weir_conf::Word;
use weir_wire::header::{Headers, Known};

use super::demands::Demands;
use super::invalidation::resolved;
use super::lifetime::{Received, judge};
use super::{reuse, stored};
use crate::pass::hidden::Ignored;

/// Sun, 09 Sep 2001 01:46:40 GMT.
const NOW: i64 = 1_000_000_000;

/// Lines of `name: value` are the fields of a response, of a request, and of a 304.
///
/// # Panics
/// If an age or a lifetime is none, or changes when the fields are stored.
pub fn fuzz_rules(data: &[u8]) {
    let mut fields = Headers::new();
    for line in data.split(|&byte| byte == b'\n') {
        let colon = line.iter().position(|&byte| byte == b':').unwrap_or(line.len());
        let value = line.get(colon + 1..).unwrap_or_default();
        fields.push(&line[..colon], value.trim_ascii());
    }
    let targets = [Word { value: b"CDN-Cache-Control".to_vec(), ..Word::default() }];
    let received = Received {
        status: 200,
        fields: &fields,
        ignored: Ignored::default(),
        targets: &targets,
        by_status: None,
        is_authorized: false,
        keeps_parts: false,
        now: NOW,
        delay: 0,
    };
    let _ = Demands::of(fields.get_all(Known::CacheControl), fields.get(Known::Pragma));
    for known in [Known::Location, Known::ContentLocation] {
        let reference = fields.get(known).unwrap_or_default();
        let _ = resolved(b"http", b"a.example", b"/x/y?z", reference);
    }
    let Some(lifetime) = judge(&received) else { return };
    assert!(lifetime.age >= 0);
    let kept = stored::fields(&fields, &lifetime);
    assert_eq!(kept.get_all(Known::Date).count(), 1);
    assert_eq!(reuse::age(&kept, lifetime.times, NOW), lifetime.age);
    let updated = stored::updated(&kept, &fields);
    let again = judge(&Received { fields: &updated, ..received });
    // Fields that are withheld or of the connection may be those that have decided.
    if lifetime.withheld.is_empty() && !fields.contains(Known::Connection) {
        assert_eq!(again, Some(lifetime));
    }
}
