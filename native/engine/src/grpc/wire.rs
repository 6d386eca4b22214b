//! The wire format of Protocol Buffers, as far as bytes become tags and values.
//!
//! What readers understand in different ways has no value here: varints beyond 64 bits, field number 0, tags beyond
//! 32 bits.

/// The largest field number (29 bits).
pub(super) const MAX_NUMBER: u32 = (1 << 29) - 1;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wire {
    Varint,
    Fixed64,
    Length,
    GroupStart,
    GroupEnd,
    Fixed32,
}

/// Why bytes are no message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    #[error("ends in the middle of a field")]
    Truncated,
    #[error("a varint is longer than 64 bits")]
    Varint,
    #[error("a field number or wire type that does not exist")]
    Tag,
    #[error("a group ends that has not begun, or begins and does not end")]
    Group,
    #[error("the wire type is not that of the field")]
    WireType,
    #[error("expected valid UTF-8")]
    Utf8,
    #[error("expected once, found again")]
    Repeated,
}

/// Bytes of one message, and how far they were read.
#[derive(Debug, Clone)]
pub(super) struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    pub fn new(bytes: &'a [u8]) -> Reader<'a> {
        Reader { bytes, at: 0 }
    }

    pub fn at(&self) -> usize {
        self.at
    }

    pub fn is_at_end(&self) -> bool {
        self.at == self.bytes.len()
    }

    #[inline]
    pub fn varint(&mut self) -> Result<u64, Malformed> {
        match self.bytes.get(self.at) {
            Some(&byte) if byte < 0x80 => {
                self.at += 1;
                Ok(u64::from(byte))
            }
            _ => self.long_varint(),
        }
    }

    fn long_varint(&mut self) -> Result<u64, Malformed> {
        let mut value = 0u64;
        for (index, &byte) in self.bytes[self.at..].iter().take(10).enumerate() {
            // The tenth byte has room for one bit.
            if index == 9 && byte > 1 {
                return Err(Malformed::Varint);
            }
            value |= u64::from(byte & 0x7f) << (7 * index);
            if byte < 0x80 {
                self.at += index + 1;
                return Ok(value);
            }
        }
        Err(Malformed::Truncated)
    }

    /// Number and wire type of the next field.
    #[inline]
    pub fn tag(&mut self) -> Result<(u32, Wire), Malformed> {
        let tag = self.varint()?;
        let number = u32::try_from(tag >> 3).map_err(|_| Malformed::Tag)?;
        if number == 0 || number > MAX_NUMBER {
            return Err(Malformed::Tag);
        }
        let wire = match tag & 7 {
            0 => Wire::Varint,
            1 => Wire::Fixed64,
            2 => Wire::Length,
            3 => Wire::GroupStart,
            4 => Wire::GroupEnd,
            5 => Wire::Fixed32,
            _ => return Err(Malformed::Tag),
        };
        Ok((number, wire))
    }

    #[inline]
    pub fn fixed32(&mut self) -> Result<u32, Malformed> {
        let bytes = self.take(4)?;
        Ok(bytes.first_chunk().map_or(0, |bytes| u32::from_le_bytes(*bytes)))
    }

    #[inline]
    pub fn fixed64(&mut self) -> Result<u64, Malformed> {
        let bytes = self.take(8)?;
        Ok(bytes.first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes)))
    }

    /// A length and that many bytes.
    #[inline]
    pub fn length_delimited(&mut self) -> Result<&'a [u8], Malformed> {
        let length = usize::try_from(self.varint()?).map_err(|_| Malformed::Truncated)?;
        self.take(length)
    }

    #[inline]
    fn take(&mut self, length: usize) -> Result<&'a [u8], Malformed> {
        let rest = &self.bytes[self.at..];
        let taken = rest.get(..length).ok_or(Malformed::Truncated)?;
        self.at += length;
        Ok(taken)
    }

    /// What is left, as a reader of its own: of a group, whose end is found by reading it.
    pub fn rest(&self) -> &'a [u8] {
        &self.bytes[self.at..]
    }

    pub fn skip(&mut self, length: usize) {
        self.at = (self.at + length).min(self.bytes.len());
    }

    /// Passes over a value that is no group.
    pub fn pass(&mut self, wire: Wire) -> Result<(), Malformed> {
        match wire {
            Wire::Varint => self.varint().map(drop),
            Wire::Fixed64 => self.take(8).map(drop),
            Wire::Length => self.length_delimited().map(drop),
            Wire::Fixed32 => self.take(4).map(drop),
            Wire::GroupStart | Wire::GroupEnd => Err(Malformed::Group),
        }
    }
}

/// Sint32, sint64.
pub(super) fn zigzag(value: u64) -> i64 {
    (value >> 1) as i64 ^ -((value & 1) as i64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn varints_end_within_64_bits() {
        let read = |bytes: &[u8]| Reader::new(bytes).varint();
        assert_eq!(read(&[0x96, 0x01]), Ok(150));
        assert_eq!(read(&[0xff; 9].iter().copied().chain([1]).collect::<Vec<_>>()), Ok(u64::MAX));
        assert_eq!(read(&[0xff; 9].iter().copied().chain([2]).collect::<Vec<_>>()), Err(Malformed::Varint));
        assert_eq!(read(&[0x80; 9]), Err(Malformed::Truncated));
        assert_eq!(read(&[]), Err(Malformed::Truncated));
    }

    #[test]
    fn tags_name_a_field_that_can_exist() {
        let read = |bytes: &[u8]| Reader::new(bytes).tag();
        assert_eq!(read(&[0x08]), Ok((1, Wire::Varint)));
        assert_eq!(read(&[0x00]), Err(Malformed::Tag));
        assert_eq!(read(&[0x0e]), Err(Malformed::Tag));
        assert_eq!(read(&[0xf8, 0xff, 0xff, 0xff, 0x0f]), Ok((MAX_NUMBER, Wire::Varint)));
        assert_eq!(read(&[0xf8, 0xff, 0xff, 0xff, 0x1f]), Err(Malformed::Tag));
    }

    #[test]
    fn zigzag_alternates() {
        assert_eq!([0, 1, 2, 3, u64::MAX].map(zigzag), [0, -1, 1, -2, i64::MIN]);
    }
}
