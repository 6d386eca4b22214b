//! Follows a WebSocket's frames as they pass (RFC 6455, 5.2): how long messages are, and where a frame ends. Nothing of
//! them is kept or changed.

/// Flags, length and mask, where they are longest.
const HEADER_BYTES: usize = 14;
const FIN: u8 = 0x80;
/// Opcodes from here on are control frames, which may stand between the frames of a message.
const CONTROL: u8 = 8;
const CLOSE: u8 = 8;

#[derive(Debug, Default)]
pub struct Frames {
    header: [u8; HEADER_BYTES],
    length: usize,
    payload_left: u64,
    /// What the frames of the message under way say that they have.
    message: u64,
    has_closed: bool,
}

impl Frames {
    /// Follows what passes next; answers the length of the longest message that a frame of it belongs to, as far as is
    /// known: as it is sent, which is shorter than it will be where it is compressed.
    pub fn pass(&mut self, mut bytes: &[u8]) -> u64 {
        let mut longest = 0;
        while let Some((&byte, behind)) = bytes.split_first() {
            if self.payload_left > 0 {
                let taken = usize::try_from(self.payload_left).unwrap_or(usize::MAX).min(bytes.len());
                self.payload_left -= taken as u64;
                bytes = &bytes[taken..];
                continue;
            }
            self.header[self.length] = byte;
            self.length += 1;
            bytes = behind;
            if self.length >= 2 && self.length == header_bytes(self.header[1]) {
                self.length = 0;
                longest = longest.max(self.frame());
            }
        }
        longest
    }

    fn frame(&mut self) -> u64 {
        let [first, second, rest @ ..] = self.header;
        self.payload_left = match second & 0x7f {
            126 => u64::from(u16::from_be_bytes([rest[0], rest[1]])),
            127 => u64::from_be_bytes([rest[0], rest[1], rest[2], rest[3], rest[4], rest[5], rest[6], rest[7]]),
            short => u64::from(short),
        };
        let opcode = first & 0x0f;
        if opcode >= CONTROL {
            self.has_closed |= opcode == CLOSE;
            return 0;
        }
        let message = self.message.saturating_add(self.payload_left);
        self.message = if first & FIN == 0 { message } else { 0 };
        message
    }

    /// Whether a frame may stand here: none is under way, and none said that it is the last.
    #[must_use]
    pub fn is_between(&self) -> bool {
        self.length == 0 && self.payload_left == 0 && !self.has_closed
    }
}

fn header_bytes(second: u8) -> usize {
    let length = match second & 0x7f {
        126 => 2,
        127 => 8,
        _ => 0,
    };
    2 + length + if second & 0x80 == 0 { 0 } else { 4 }
}

/// A server's frame that ends a WebSocket (RFC 6455, 5.5.1). The reason is below 124 bytes.
#[must_use]
pub fn close(code: u16, reason: &str) -> Vec<u8> {
    let mut frame = vec![FIN | CLOSE, (reason.len() + 2) as u8];
    frame.extend_from_slice(&code.to_be_bytes());
    frame.extend_from_slice(reason.as_bytes());
    frame
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn frame(first: u8, length: usize, is_masked: bool) -> Vec<u8> {
        let mask = if is_masked { 0x80 } else { 0 };
        let mut out = vec![first];
        match length {
            0..126 => out.push(mask | length as u8),
            126..65_536 => {
                out.push(mask | 126);
                out.extend((length as u16).to_be_bytes());
            }
            _ => {
                out.push(mask | 127);
                out.extend((length as u64).to_be_bytes());
            }
        }
        out.resize(out.len() + if is_masked { 4 } else { 0 } + length, 0xff);
        out
    }

    #[test]
    fn a_message_is_as_long_as_its_frames_and_control_frames_are_none() {
        let mut frames = Frames::default();
        assert_eq!(frames.pass(&frame(0x01, 100, true)), 100);
        assert_eq!(frames.pass(&frame(0x89, 125, true)), 0);
        assert_eq!(frames.pass(&frame(0x00, 70_000, true)), 70_100);
        assert_eq!(frames.pass(&frame(0x80, 0, false)), 70_100);
        assert_eq!(frames.pass(&[frame(0x82, 300, false), frame(0x81, 7, false)].concat()), 300);
        assert!(frames.is_between());
        frames.pass(&frame(0x88, 2, false));
        assert!(!frames.is_between(), "nothing follows a close");
    }

    #[test]
    fn a_length_counts_with_its_header_and_does_not_overflow() {
        let mut frames = Frames::default();
        assert_eq!(frames.pass(&[0x02, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]), u64::MAX);
        assert!(!frames.is_between());
    }

    #[test]
    fn a_close_is_a_frame() {
        assert_eq!(close(1009, "no"), [0x88, 4, 0x03, 0xf1, b'n', b'o']);
    }

    proptest! {
        #[test]
        fn frames_are_followed_however_they_are_cut(
            sent in prop::collection::vec((0_u8..=255, prop_oneof![0_usize..200, 65_530_usize..65_540], any::<bool>()), 0..8),
            size in 1_usize..70_000,
        ) {
            let bytes: Vec<u8> = sent.iter().flat_map(|&(first, length, mask)| frame(first, length, mask)).collect();
            let (mut whole, mut cut) = (Frames::default(), Frames::default());
            let longest = bytes.chunks(size).map(|piece| cut.pass(piece)).max().unwrap_or(0);
            prop_assert_eq!(whole.pass(&bytes), longest);
            prop_assert_eq!((cut.length, cut.payload_left, cut.message), (0, 0, whole.message));
            let is_over = sent.iter().any(|(first, ..)| first & 0x0f == CLOSE);
            prop_assert_eq!(cut.is_between(), !is_over);
        }

        #[test]
        fn anything_is_followed(bytes in prop::collection::vec(any::<u8>(), 0..300), size in 1_usize..40) {
            let (mut whole, mut cut) = (Frames::default(), Frames::default());
            let longest = bytes.chunks(size).map(|piece| cut.pass(piece)).max().unwrap_or(0);
            prop_assert_eq!(whole.pass(&bytes), longest);
            prop_assert_eq!(cut.is_between(), whole.is_between());
        }
    }
}
