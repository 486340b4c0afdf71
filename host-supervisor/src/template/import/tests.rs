//! Archives good and hostile, made here byte by byte.
use super::*;
use crate::template::names;
use std::fs;
use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use tar::{Builder, Header};

/// An archive in the making; entries belong to whoever runs the test.
struct Archive(Builder<Vec<u8>>);

impl Archive {
    fn new() -> Archive {
        Archive(Builder::new(Vec::new()))
    }

    fn add(mut self, path: &str, kind: EntryType, link: &str, content: &[u8]) -> Archive {
        self.0.append(&header(path, kind, link, content.len() as u64), content).unwrap();
        self
    }

    fn file(self, path: &str, content: &str) -> Archive {
        self.add(path, EntryType::Regular, "", content.as_bytes())
    }

    fn pax(mut self, records: &[(&str, &[u8])]) -> Archive {
        self.0.append_pax_extensions(records.iter().copied()).unwrap();
        self
    }

    fn bytes(self) -> Vec<u8> {
        self.0.into_inner().unwrap()
    }
}

fn header(path: &str, kind: EntryType, link: &str, size: u64) -> Header {
    let mut header = Header::new_gnu();
    // The library's own setters refuse what a hostile archive holds.
    let old = header.as_old_mut();
    old.name[..path.len()].copy_from_slice(path.as_bytes());
    old.linkname[..link.len()].copy_from_slice(link.as_bytes());
    header.set_entry_type(kind);
    header.set_mode(0o4755);
    header.set_uid(u64::from(rustix::process::geteuid().as_raw()));
    header.set_gid(u64::from(rustix::process::getegid().as_raw()));
    header.set_mtime(1_000_000_000);
    header.set_size(size);
    header.set_cksum();
    header
}

struct Lab {
    dir: tempfile::TempDir,
    paths: Paths,
}

impl Lab {
    fn new() -> Lab {
        let dir = tempfile::tempdir().unwrap();
        let paths = Paths::new(dir.path().join("root"));
        Lab { dir, paths }
    }

    fn import(&self, bytes: &[u8]) -> Result<Imported, String> {
        let file = self.dir.path().join("archive");
        fs::write(&file, bytes).unwrap();
        import(&self.paths, "t", &file, &mut |_, _| ()).map_err(|e| {
            let text = std::error::Error::source(&e).map_or(e.to_string(), |cause| format!("{e}: {cause}"));
            text.replace(&*file.to_string_lossy(), "FILE")
        })
    }

    fn at(&self, path: &str) -> PathBuf {
        self.paths.templates().join("t").join(path)
    }
}

/// What the archive says of itself when it is refused; then nothing of it is left.
fn refused(bytes: &[u8], expect: &str) {
    let lab = Lab::new();
    let found = lab.import(bytes).unwrap_err();
    assert!(found.contains(expect), "{found:?} does not say {expect:?}");
    assert_eq!(names(&lab.paths).len(), 1, "only host");
    let left = fs::read_dir(lab.paths.templates());
    let left: Vec<_> = left.into_iter().flatten().map(|e| e.unwrap().file_name()).collect();
    assert!(left.iter().all(|n| n == ".meta"), "{left:?}");
}

#[test]
fn files_links_modes_and_times_are_kept() {
    use EntryType as T;
    let lab = Lab::new();
    let archive = Archive::new()
        .add("./", T::Directory, "", b"")
        .add("./usr/", T::Directory, "", b"")
        .add("bin", T::Symlink, "usr/bin", b"")
        .add("absolute", T::Symlink, "/etc/shadow", b"")
        .file("usr/bin/su", "old")
        .file("./usr/bin/su", "new")
        .add("usr/bin/same", T::Link, "usr/bin/su", b"")
        .add("link-to-link", T::Link, "absolute", b"")
        .add("run/pipe", T::Fifo, "", b"")
        .add("dev/sda", T::Block, "", b"")
        .add("dev/null", T::Char, "", b"")
        .add("odd", T::new(b'V'), "", b"")
        .bytes();
    let done = lab.import(&archive).unwrap();
    assert_eq!((done.entries, done.devices, done.unknown, done.bytes), (12, 2, 1, 6));
    assert_eq!(done.notes(), ["2 device nodes left out", "1 entries of unknown kind left out"]);
    let (su, same) =
        (fs::metadata(lab.at("usr/bin/su")).unwrap(), fs::metadata(lab.at("usr/bin/same")).unwrap());
    assert_eq!((su.mode() & 0o7777, su.mtime(), su.ino()), (0o4755, 1_000_000_000, same.ino()));
    assert_eq!(fs::read_to_string(lab.at("usr/bin/su")).unwrap(), "new");
    assert_eq!(fs::read_link(lab.at("bin")).unwrap(), PathBuf::from("usr/bin"));
    assert_eq!(fs::read_link(lab.at("link-to-link")).unwrap(), PathBuf::from("/etc/shadow"));
    assert_eq!(fs::metadata(lab.at("usr")).unwrap().mtime(), 1_000_000_000);
    assert!(!lab.at("dev/sda").exists() && lab.at("run/pipe").exists());
    assert_eq!(fs::metadata(lab.paths.templates()).unwrap().mode() & 0o777, 0o700);
}

#[test]
fn hostile_entries_are_refused_and_leave_nothing() {
    use EntryType as T;
    let a = Archive::new;
    let out = |link: &str| a().add("out", T::Symlink, link, b"");
    for (archive, expect) in [
        (a().file("../escape", "x"), "\"../escape\" leaves the archive by \"..\""),
        (a().file("a/../../escape", "x"), "leaves the archive"),
        (a().file("/etc/cron.d/x", "x"), "\"/etc/cron.d/x\" has an absolute path"),
        (a().add("..", T::Directory, "", b""), "leaves the archive"),
        (out("/etc").file("out/passwd", "x"), "\"out/passwd\" leads through a symbolic link"),
        (out("/").file("out/tmp/deep/x", "x"), "leads through a symbolic link"),
        (out("../..").add("out/x", T::Directory, "", b""), "leads through a symbolic link"),
        (out("/etc").add("out/x", T::Symlink, "y", b""), "leads through a symbolic link"),
        (
            a().add("usr", T::Directory, "", b"").add("bin", T::Symlink, "usr", b"").file("bin/x", "x"),
            "\"bin/x\" leads through a symbolic link",
        ),
        (out("/etc").add("h", T::Link, "out/passwd", b""), "leads through a symbolic link"),
        (out("/etc").add("out/pipe", T::Fifo, "", b""), "leads through a symbolic link"),
        (a().add("h", T::Link, "/etc/passwd", b""), "\"h\" is a hard link to something that is not in"),
        (a().add("h", T::Link, "../../etc/passwd", b""), "is a hard link to something"),
        (a().add("h", T::Link, "missing", b""), "is a hard link to something"),
        (a().add("h", T::Link, "missing/deeper", b""), "is a hard link to something"),
        (a().add("d", T::Directory, "", b"").file("d", "x"), "is a file where a directory was"),
        (a().file("f", "x").file("f/below", "x"), "leads through a symbolic link"),
        (a().pax(&[("GNU.sparse.major", b"1")]).file("s", "x"), "sparse file in the pax format"),
        (a().pax(&[("path", b"../escape")]).file("fine", "x"), "leaves the archive"),
    ] {
        refused(&archive.bytes(), expect);
    }
}

#[test]
fn ids_and_sizes_are_bounded() {
    let mut big = header("big", EntryType::Regular, "", 1 << 60);
    refused(big.as_bytes(), "archive entry \"big\" brings it over that");
    big.set_uid(u64::from(u32::MAX));
    big.set_cksum();
    refused(big.as_bytes(), "belongs to an id above");
    // A name of three million bytes would be held in memory.
    let name = vec![b'a'; 3 << 20];
    refused(
        &Archive::new().add("././@LongLink", EntryType::GNULongName, "", &name).bytes(),
        "more than 2 MiB",
    );
    let mut sparse = header("s", EntryType::GNUSparse, "", 0);
    sparse.as_gnu_mut().unwrap().set_real_size(1 << 60);
    sparse.as_gnu_mut().unwrap().sparse[0].set_offset(1 << 60);
    sparse.as_gnu_mut().unwrap().sparse[0].set_length(0);
    sparse.set_cksum();
    let mut archive = sparse.as_bytes().to_vec();
    archive.extend([0; 1024]);
    refused(&archive, "brings it over that");
}

#[test]
fn only_harmless_extended_attributes_are_kept() {
    for (name, value, expect) in [
        ("user.note", &b"x"[..], true),
        ("security.capability", &[0; 20], true),
        ("security.capability", &[0; 24], false),
        ("user.overlay.redirect", b"/etc", false),
        ("trusted.overlay.opaque", b"y", false),
        ("security.selinux", b"x", false),
        ("system.posix_acl_access", b"x", false),
    ] {
        assert_eq!(kept(name.as_bytes(), value).is_some(), expect, "{name}");
    }
    let lab = Lab::new();
    let records: [(&str, &[u8]); 2] =
        [("SCHILY.xattr.user.note", b"kept"), ("SCHILY.xattr.trusted.overlay.opaque", b"y")];
    let archive = Archive::new().pax(&records).file("f", "x");
    let archive = archive.pax(&records).add("d", EntryType::Directory, "", b"").file("d/f", "x");
    let done = lab.import(&archive.bytes()).unwrap();
    assert_eq!(done.attributes, 2);
    for kept in ["f", "d"] {
        let mut value = [0_u8; 16];
        let n = rustix::fs::getxattr(lab.at(kept), "user.note", &mut value).unwrap();
        assert_eq!(&value[..n], b"kept", "{kept}");
    }
}

fn packed(with: &str, bytes: &[u8]) -> Vec<u8> {
    match with {
        "gzip" => {
            let mut to = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
            to.write_all(bytes).unwrap();
            to.finish().unwrap()
        }
        "zstd" => ruzstd::encoding::compress_to_vec(bytes, ruzstd::encoding::CompressionLevel::Fastest),
        // The library only unpacks: a stream made of xz's own parts, with its content as it is.
        "xz" => xz(bytes),
        other => panic!("{other}"),
    }
}

#[test]
fn packing_is_told_by_content_and_cut_archives_are_refused() {
    let plain = Archive::new().file("etc/a", &"a".repeat(5000)).file("etc/b", "b").bytes();
    let mut all = vec![plain.clone()];
    all.extend(["gzip", "zstd", "xz"].map(|with| packed(with, &plain)));
    for bytes in &all {
        let lab = Lab::new();
        assert_eq!(lab.import(bytes).unwrap().entries, 2);
        assert_eq!(fs::read_to_string(lab.at("etc/b")).unwrap(), "b");
    }
    for cut in [200, 512, 1000, 512 + 5120, 512 + 5120 + 512] {
        refused(&plain[..cut], "FILE ends too early (copy or download it again)");
    }
    for bytes in &all[1..] {
        for left in [10, 20, bytes.len() / 2, bytes.len() - 1] {
            let lab = Lab::new();
            assert!(lab.import(&bytes[..left]).is_err(), "{left} of {}", bytes.len());
        }
    }
    // Several packed parts, one after the other, are one archive.
    let two = [packed("zstd", &plain[..1000]), packed("zstd", &plain[1000..])].concat();
    assert_eq!(Lab::new().import(&two).unwrap().entries, 2);
}

#[test]
fn what_is_no_archive_is_called_so() {
    refused(b"", "the archive FILE is empty");
    refused(&[0; 10240], "the archive FILE is empty");
    refused(&[b'x'; 4096], "FILE is not a tar archive");
    refused(b"BZh91AY&SY", "FILE is packed with bzip2, which is not read");
    refused(b"PK\x03\x04....", "packed with zip");
    let lab = Lab::new();
    let e = import(&lab.paths, "t", Path::new("/nowhere.tar"), &mut |_, _| ()).unwrap_err();
    assert_eq!(e.to_string(), "read the archive /nowhere.tar");
    let e = import(&lab.paths, "t", lab.dir.path(), &mut |_, _| ()).unwrap_err();
    assert!(matches!(e, TemplateError::NotAnArchive(_)));
}

#[test]
fn an_earlier_template_of_that_name_stays() {
    let lab = Lab::new();
    let archive = |text| Archive::new().file("f", text).bytes();
    lab.import(&archive("first")).unwrap();
    let e = lab.import(&archive("second")).unwrap_err();
    assert_eq!(e, "there is a template \"t\" already (remove it first: ct template remove t)");
    assert_eq!(fs::read_to_string(lab.at("f")).unwrap(), "first");
}

#[test]
fn progress_ends_at_the_whole_file() {
    let lab = Lab::new();
    let file = lab.dir.path().join("archive");
    let content = "x".repeat(3 << 20);
    fs::write(&file, Archive::new().file("a", &content).file("b", &content).bytes()).unwrap();
    let mut told = Vec::new();
    import(&lab.paths, "t", &file, &mut |done, total| told.push((done, total))).unwrap();
    let size = fs::metadata(&file).unwrap().len();
    assert!(told.len() >= 3 && told.is_sorted() && told.last() == Some(&(size, size)), "{told:?}");
}

/// An xz stream with one LZMA2 block of stored chunks and no check.
fn xz(content: &[u8]) -> Vec<u8> {
    let crc = |bytes: &[u8]| {
        let mut crc = flate2::Crc::new();
        crc.update(bytes);
        crc.sum().to_le_bytes()
    };
    let number = |mut n: usize| {
        let mut bytes = Vec::new();
        while n >= 0x80 {
            bytes.push(n as u8 | 0x80);
            n >>= 7;
        }
        bytes.push(n as u8);
        bytes
    };
    let padded = |mut bytes: Vec<u8>| {
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        bytes
    };
    let flags = [0, 0];
    let mut out = [&b"\xfd7zXZ\0"[..], &flags, &crc(&flags)].concat();
    // Two words of header: size, no flags, filter 0x21 with one byte of properties (dictionary of 1 MiB).
    let header = [2, 0, 0x21, 1, 16, 0, 0, 0];
    let mut block = [&header[..], &crc(&header)].concat();
    for (n, chunk) in content.chunks(1 << 16).enumerate() {
        let size = ((chunk.len() - 1) as u16).to_be_bytes();
        block.extend([if n == 0 { 1 } else { 2 }]);
        block.extend([&size[..], chunk].concat());
    }
    block.push(0);
    let unpadded = block.len();
    out.extend(padded(block));
    let index = padded([vec![0], number(1), number(unpadded), number(content.len())].concat());
    let footer = [&((index.len() as u32 + 4) / 4 - 1).to_le_bytes()[..], &flags].concat();
    out.extend([&index[..], &crc(&index), &crc(&footer), &footer, b"YZ"].concat());
    out
}
