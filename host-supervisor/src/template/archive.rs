//! archive: a packed file as a stream of tar bytes, metered. Writes nothing.
use super::TemplateError;
use flate2::bufread::MultiGzDecoder;
use lzma_rust2::XzReader;
use ruzstd::decoding::{FrameDecoder, StreamingDecoder};
use std::cell::Cell;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::rc::Rc;

/// An xz archive may ask for so much memory, in KiB; `xz -9` takes 64 MiB.
const XZ_MEMORY: u32 = 256 << 10;

/// What the reader of a stream shares with the loop over its entries.
#[derive(Clone, Debug)]
pub(super) struct Meter {
    /// Bytes of the file read so far.
    pub(super) packed: Rc<Cell<u64>>,
    /// Size of the file.
    pub(super) total: u64,
    /// Unpacked bytes that may still be read; more is an error.
    pub(super) allowance: Rc<Cell<u64>>,
    /// The stream has ended.
    pub(super) ended: Rc<Cell<bool>>,
}

/// Opens an archive; how it is packed is seen from its first bytes. Beside it its name for messages.
pub(super) fn open(path: &Path) -> Result<(Box<dyn Read>, Meter, PathBuf), TemplateError> {
    // One that was handed in as a descriptor is called as its owner calls it.
    let link = path.starts_with("/proc/self/fd").then(|| std::fs::read_link(path).ok()).flatten();
    let shown = link.unwrap_or_else(|| path.to_owned());
    let opened = File::open(path).map_err(|e| TemplateError::Archive(shown.clone(), e))?;
    unpack(opened, &shown).map(|(reader, meter)| (reader, meter, shown))
}

fn unpack(file: File, path: &Path) -> Result<(Box<dyn Read>, Meter), TemplateError> {
    let fail = |e| TemplateError::Archive(path.to_owned(), e);
    let meta = file.metadata().map_err(fail)?;
    if !meta.is_file() {
        return Err(TemplateError::NotAnArchive(path.to_owned()));
    }
    let meter = Meter {
        packed: Rc::default(),
        total: meta.len(),
        allowance: Rc::new(Cell::new(u64::MAX)),
        ended: Rc::default(),
    };
    let counted = Counted { file, packed: meter.packed.clone() };
    let mut buffered = BufReader::with_capacity(64 << 10, counted);
    let head = buffered.fill_buf().map_err(fail)?;
    if head.is_empty() {
        return Err(TemplateError::Empty(path.to_owned()));
    }
    let packing = |what| Err(TemplateError::Packing { path: path.to_owned(), what });
    let plain: Box<dyn Read> = match head {
        [0x1f, 0x8b, ..] => Box::new(MultiGzDecoder::new(buffered)),
        [0x28, 0xb5, 0x2f, 0xfd, ..] => Box::new(Frames::Between(buffered)),
        [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => Box::new(XzReader::new_mem_limit(buffered, true, XZ_MEMORY)),
        [b'B', b'Z', b'h', ..] => return packing("bzip2"),
        [b'P', b'K', 3, 4, ..] => return packing("zip"),
        _ => Box::new(buffered),
    };
    let metered = Metered { from: plain, allowance: meter.allowance.clone(), ended: meter.ended.clone() };
    Ok((Box::new(metered), meter))
}

struct Counted {
    file: File,
    packed: Rc<Cell<u64>>,
}

impl Read for Counted {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        let n = self.file.read(to)?;
        self.packed.set(self.packed.get() + n as u64);
        Ok(n)
    }
}

struct Metered {
    from: Box<dyn Read>,
    allowance: Rc<Cell<u64>>,
    ended: Rc<Cell<bool>>,
}

impl Read for Metered {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        let n = self.from.read(to)?;
        self.ended.set(self.ended.get() || (n == 0 && !to.is_empty()));
        let left = self.allowance.get().checked_sub(n as u64);
        self.allowance.set(left.ok_or_else(|| io::Error::from(io::ErrorKind::FileTooLarge))?);
        Ok(n)
    }
}

/// One zstd frame after the other.
enum Frames<R: BufRead> {
    Between(R),
    In(Box<StreamingDecoder<R, FrameDecoder>>),
    Over,
}

impl<R: BufRead> Read for Frames<R> {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        loop {
            *self = match std::mem::replace(self, Frames::Over) {
                Frames::Over => return Ok(0),
                Frames::Between(mut from) => match from.fill_buf()?.is_empty() {
                    true => Frames::Over,
                    false => Frames::In(Box::new(StreamingDecoder::new(from).map_err(io::Error::other)?)),
                },
                Frames::In(mut decoder) => match decoder.read(to)? {
                    0 if to.is_empty() => return Ok(0),
                    0 => {
                        let (from, decoder) = decoder.into_parts();
                        match (decoder.get_checksum_from_data(), decoder.get_calculated_checksum()) {
                            (Some(said), Some(found)) if said != found => {
                                return Err(io::Error::new(
                                    io::ErrorKind::InvalidData,
                                    "its checksum is wrong",
                                ));
                            }
                            _ => Frames::Between(from),
                        }
                    }
                    n => {
                        *self = Frames::In(decoder);
                        return Ok(n);
                    }
                },
            }
        }
    }
}
