//! codec: bytes in, messages out. A message is everything up to a NUL. Never does I/O, never keeps more than a limit.

/// The most bytes that one inbound message may have, unless a caller says otherwise.
pub const MESSAGE_LIMIT: usize = 64 * 1024;

/// Cuts a stream of bytes into messages.
#[derive(Debug)]
pub struct Decoder {
    buffer: Vec<u8>,
    /// Where the search for a NUL goes on.
    searched: usize,
    limit: usize,
    /// How many messages were handed out.
    taken: u64,
}

/// A message that does not end in time: the connection can't go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a message may have at most {limit} bytes")]
pub struct TooLong {
    /// The limit.
    pub limit: usize,
}

impl Decoder {
    /// A decoder for messages of at most `limit` bytes without their NUL.
    pub fn new(limit: usize) -> Decoder {
        Decoder { buffer: Vec::new(), searched: 0, limit, taken: 0 }
    }
    /// Takes bytes in. To bound memory, the caller takes all messages out before it feeds more.
    pub fn feed(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }
    /// The next whole message without its NUL, with its number counted from 0; none: more bytes are needed.
    pub fn next_message(&mut self) -> Option<Result<(u64, Vec<u8>), TooLong>> {
        let rest = self.buffer.get(self.searched..).unwrap_or_default();
        let Some(found) = rest.iter().position(|&b| b == 0) else {
            self.searched = self.buffer.len();
            return (self.buffer.len() > self.limit).then_some(Err(TooLong { limit: self.limit }));
        };
        let end = self.searched + found;
        if end > self.limit {
            return Some(Err(TooLong { limit: self.limit }));
        }
        let mut message: Vec<u8> = self.buffer.drain(..=end).collect();
        message.pop();
        self.searched = 0;
        self.taken += 1;
        Some(Ok((self.taken - 1, message)))
    }
    /// The number of the message that the byte fed last belongs to.
    pub fn last_number(&self) -> u64 {
        let ends = self.buffer.iter().filter(|&&b| b == 0).count() as u64;
        let whole = self.buffer.last() == Some(&0) || self.buffer.is_empty();
        (self.taken + ends).saturating_sub(u64::from(whole))
    }
    /// How many bytes are kept.
    pub fn buffered(&self) -> usize {
        self.buffer.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// What comes out when the stream is fed in pieces, and whether the connection survives.
    fn decode(pieces: &[&[u8]], limit: usize) -> (Vec<Vec<u8>>, bool) {
        let mut decoder = Decoder::new(limit);
        let mut out = Vec::new();
        for piece in pieces {
            decoder.feed(piece);
            while let Some(message) = decoder.next_message() {
                match message {
                    Ok((number, m)) => {
                        assert_eq!(number as usize, out.len());
                        out.push(m);
                    }
                    Err(_) => return (out, false),
                }
            }
            assert!(decoder.buffered() <= limit);
        }
        (out, true)
    }

    #[test]
    fn messages() {
        let check = |pieces: &[&[u8]], expect: &[&[u8]], lives: bool| {
            let (got, alive) = decode(pieces, 8);
            assert_eq!((got.iter().map(Vec::as_slice).collect::<Vec<_>>(), alive), (expect.to_vec(), lives));
        };
        check(&[], &[], true);
        check(&[b""], &[], true);
        check(&[b"abc"], &[], true);
        check(&[b"abc\0"], &[b"abc"], true);
        check(&[b"ab", b"c", b"\0"], &[b"abc"], true);
        check(&[b"a\0b\0c"], &[b"a", b"b"], true);
        check(&[b"\0\0"], &[b"", b""], true);
        check(&[b"12345678\0"], &[b"12345678"], true);
        check(&[b"123456789\0"], &[], false);
        check(&[b"123456789"], &[], false);
        check(&[b"12345", b"6789"], &[], false);
        check(&[b"a\0abcdefghi\0b\0"], &[b"a"], false);
        check(&[b"12345", b"678\0x"], &[b"12345678"], true);
    }

    #[test]
    fn a_hundred_megabytes_without_an_end_take_no_memory() {
        let mut decoder = Decoder::new(MESSAGE_LIMIT);
        let chunk = vec![b'x'; 16 * 1024];
        let fed = (0..6400).take_while(|_| {
            decoder.feed(&chunk);
            decoder.next_message().is_none()
        });
        assert_eq!(fed.count(), 4);
        assert!(decoder.buffered() <= MESSAGE_LIMIT + chunk.len());
    }

    #[test]
    fn descriptors_go_with_the_message_fed_last() {
        let check = |pieces: &[&[u8]], expect: u64| {
            let mut decoder = Decoder::new(8);
            pieces.iter().for_each(|p| decoder.feed(p));
            assert_eq!(decoder.last_number(), expect, "{pieces:?}");
        };
        check(&[b"a"], 0);
        check(&[b"a\0"], 0);
        check(&[b"a\0b"], 1);
        check(&[b"a\0b\0"], 1);
        check(&[b"a\0b\0", b"c"], 2);
    }

    proptest! {
        #[test]
        fn any_cut_gives_the_same_messages(
            messages in proptest::collection::vec(proptest::collection::vec(1u8.., 0..40), 0..20),
            cut in 1usize..50,
        ) {
            let stream: Vec<u8> = messages.iter().flat_map(|m| m.iter().copied().chain([0])).collect();
            let pieces: Vec<&[u8]> = stream.chunks(cut).collect();
            prop_assert_eq!(decode(&pieces, 64), (messages, true));
        }
        #[test]
        fn any_bytes_keep_within_the_limit(
            pieces in proptest::collection::vec(proptest::collection::vec(prop_oneof![Just(0u8), any::<u8>()], 0..100), 0..40),
        ) {
            let pieces: Vec<&[u8]> = pieces.iter().map(Vec::as_slice).collect();
            let (messages, _) = decode(&pieces, 32);
            prop_assert!(messages.iter().all(|m| m.len() <= 32 && !m.contains(&0)));
        }
    }
}
