//! Binary encoding: numbers are little-endian, values of variable length are prefixed by it (u32).
//! Both ends are the same binary, so there is no version.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;
use std::sync::Arc;

/// A value that can be sent.
pub(super) trait Codec: Sized {
    /// Appends the value.
    fn put(&self, out: &mut Vec<u8>);
    /// Removes a value from the start of `input`; `None` if there is no valid one.
    fn take(input: &mut &[u8]) -> Option<Self>;
}

fn put_bytes(bytes: &[u8], out: &mut Vec<u8>) {
    put_len(bytes.len(), out);
    out.extend_from_slice(bytes);
}

fn put_len(len: usize, out: &mut Vec<u8>) {
    // A bundle is limited to 1 GiB, so a longer value fails to be read.
    u32::try_from(len).unwrap_or(u32::MAX).put(out);
}

fn take_bytes<'a>(input: &mut &'a [u8]) -> Option<&'a [u8]> {
    let len = u32::take(input)? as usize;
    input.split_off(..len)
}

impl Codec for u8 {
    fn put(&self, out: &mut Vec<u8>) {
        out.push(*self);
    }

    fn take(input: &mut &[u8]) -> Option<Self> {
        input.split_off_first().copied()
    }
}

impl Codec for u32 {
    fn put(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.to_le_bytes());
    }

    fn take(input: &mut &[u8]) -> Option<Self> {
        Some(Self::from_le_bytes(input.split_off(..4)?.try_into().ok()?))
    }
}

impl Codec for u64 {
    fn put(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.to_le_bytes());
    }

    fn take(input: &mut &[u8]) -> Option<Self> {
        Some(Self::from_le_bytes(input.split_off(..8)?.try_into().ok()?))
    }
}

impl Codec for String {
    fn put(&self, out: &mut Vec<u8>) {
        put_bytes(self.as_bytes(), out);
    }

    fn take(input: &mut &[u8]) -> Option<Self> {
        Self::from_utf8(take_bytes(input)?.to_vec()).ok()
    }
}

impl Codec for PathBuf {
    fn put(&self, out: &mut Vec<u8>) {
        put_bytes(self.as_os_str().as_bytes(), out);
    }

    fn take(input: &mut &[u8]) -> Option<Self> {
        Some(OsString::from_vec(take_bytes(input)?.to_vec()).into())
    }
}

impl Codec for Arc<[u8]> {
    fn put(&self, out: &mut Vec<u8>) {
        put_bytes(self, out);
    }

    fn take(input: &mut &[u8]) -> Option<Self> {
        Some(take_bytes(input)?.into())
    }
}

impl Codec for IpAddr {
    fn put(&self, out: &mut Vec<u8>) {
        match self {
            Self::V4(address) => put_bytes(&address.octets(), out),
            Self::V6(address) => put_bytes(&address.octets(), out),
        }
    }

    fn take(input: &mut &[u8]) -> Option<Self> {
        let octets = take_bytes(input)?;
        let v4 = <[u8; 4]>::try_from(octets).map(|o| Ipv4Addr::from(o).into());
        v4.or_else(|_| <[u8; 16]>::try_from(octets).map(|o| Ipv6Addr::from(o).into())).ok()
    }
}

impl<A: Codec, B: Codec> Codec for (A, B) {
    fn put(&self, out: &mut Vec<u8>) {
        self.0.put(out);
        self.1.put(out);
    }

    fn take(input: &mut &[u8]) -> Option<Self> {
        Some((A::take(input)?, B::take(input)?))
    }
}

impl<T: Codec> Codec for Option<T> {
    fn put(&self, out: &mut Vec<u8>) {
        u8::from(self.is_some()).put(out);
        if let Some(value) = self {
            value.put(out);
        }
    }

    fn take(input: &mut &[u8]) -> Option<Self> {
        match u8::take(input)? {
            0 => Some(None),
            1 => Some(Some(T::take(input)?)),
            _ => None,
        }
    }
}

impl<T: Codec, E: Codec> Codec for Result<T, E> {
    fn put(&self, out: &mut Vec<u8>) {
        u8::from(self.is_ok()).put(out);
        match self {
            Ok(value) => value.put(out),
            Err(error) => error.put(out),
        }
    }

    fn take(input: &mut &[u8]) -> Option<Self> {
        match u8::take(input)? {
            0 => Some(Err(E::take(input)?)),
            1 => Some(Ok(T::take(input)?)),
            _ => None,
        }
    }
}

impl<T: Codec> Codec for Vec<T> {
    fn put(&self, out: &mut Vec<u8>) {
        put_len(self.len(), out);
        self.iter().for_each(|value| value.put(out));
    }

    fn take(input: &mut &[u8]) -> Option<Self> {
        (0..u32::take(input)?).map(|_| T::take(input)).collect()
    }
}

impl<K: Codec + Ord, V: Codec> Codec for BTreeMap<K, V> {
    fn put(&self, out: &mut Vec<u8>) {
        put_len(self.len(), out);
        for (key, value) in self {
            key.put(out);
            value.put(out);
        }
    }

    fn take(input: &mut &[u8]) -> Option<Self> {
        (0..u32::take(input)?).map(|_| <(K, V)>::take(input)).collect()
    }
}
