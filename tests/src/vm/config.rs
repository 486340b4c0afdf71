//! config: what a machine is made of, and what QEMU is told of it. Starts nothing.
use crate::vm::image::Image;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tempfile::{NamedTempFile, TempDir};

/// What a test wants of its machine.
#[derive(Clone, Debug)]
pub struct Config {
    /// MiB.
    pub memory: u32,
    /// CPUs.
    pub cpus: u32,
    /// Disks in this order: /dev/vdb, /dev/vdc, …
    pub disks: Vec<PathBuf>,
    /// Network interfaces in this order: eth0, eth1, …
    pub nics: Vec<Nic>,
    /// Whether there is a watchdog (i6300esb); when nobody feeds it, it resets the machine.
    pub watchdog: bool,
    /// Whether the kernel has its console on the serial line, the only one there is.
    pub console: bool,
    /// Whether it boots again after a reset; else a reset is its end.
    pub reboots: bool,
    /// What it boots from; none: the lab's own image. An image without a root has it on the first disk.
    pub image: Option<Image>,
    /// More words for the kernel.
    pub arguments: String,
    /// When it is killed, whatever it does.
    pub limit: Duration,
}

impl Default for Config {
    fn default() -> Config {
        Config {
            memory: 1024,
            cpus: 2,
            disks: Vec::new(),
            nics: Vec::new(),
            watchdog: false,
            console: true,
            reboots: false,
            image: None,
            arguments: String::new(),
            limit: Duration::from_secs(300),
        }
    }
}

impl Config {
    /// With one more disk.
    pub fn disk(mut self, disk: &Disk) -> Config {
        self.disks.push(disk.path().to_path_buf());
        self
    }

    /// With one more network interface.
    pub fn nic(mut self, nic: Nic) -> Config {
        self.nics.push(nic);
        self
    }

    /// QEMU's words. Its console, its control and the agent's port connect to sockets in `dir`.
    pub fn words(&self, image: &Image, dir: &Path) -> Vec<String> {
        let kvm = std::env::var("CT_VM_KVM").is_ok_and(|v| v == "1");
        let (accelerator, cpu) = if kvm { ("kvm", "host") } else { ("tcg,thread=multi", "max") };
        let mut words: Vec<String> = Vec::new();
        let mut say = |text: String| words.extend(text.split_whitespace().map(str::to_owned));
        say(format!("-machine q35 -accel {accelerator} -cpu {cpu} -smp {} -m {}", self.cpus, self.memory));
        say("-nodefaults -no-user-config -display none".to_owned());
        if !self.reboots {
            say("-no-reboot".to_owned());
        }
        for name in ["console", "qmp", "agent"] {
            say(format!("-chardev socket,id={name},path={}", dir.join(name).display()));
        }
        say("-serial chardev:console -mon chardev=qmp,mode=control -device virtio-serial-pci".to_owned());
        say(format!("-device virtserialport,chardev=agent,name={}", crate::vm::wire::PORT));
        // What is written to the root is gone with the machine; what is written to a disk is not.
        let root = image.root.iter().map(|r| (r, "on"));
        for (disk, snapshot) in root.chain(self.disks.iter().map(|d| (d, "off"))) {
            let file = disk.display();
            say(format!(
                "-drive file={file},if=virtio,format=raw,cache=unsafe,discard=unmap,snapshot={snapshot}"
            ));
        }
        for (i, nic) in self.nics.iter().enumerate() {
            say(format!("-netdev {}", nic.backend(i)));
            say(format!("-device virtio-net-pci,netdev=n{i},mac={},romfile=", nic.mac));
        }
        if self.watchdog {
            say("-device i6300esb -action watchdog=reset".to_owned());
        }
        say(format!("-kernel {} -initrd {}", image.kernel.display(), image.initrd.display()));
        words.extend(["-append".to_owned(), self.kernel_words(image)]);
        words
    }

    fn kernel_words(&self, image: &Image) -> String {
        // A panic resets at once. The rest saves time where nothing is at stake.
        let fast =
            "mitigations=off nokaslr tsc=reliable no_timer_check random.trust_cpu=1 audit=0 net.ifnames=0";
        let (root, own) = (image.arguments.trim_end(), &self.arguments);
        let console = if self.console { "console=ttyS0" } else { "console=ttyS9" };
        format!("{console} quiet panic=-1 psi=1 {root} {fast} {own}").trim_end().to_owned()
    }
}

/// A disk, kept from one boot to the next, gone with the test.
#[derive(Debug)]
pub struct Disk(NamedTempFile);

impl Disk {
    /// An empty one of so many MiB, of which only what is written takes room.
    pub fn new(size: u64) -> Disk {
        let file = NamedTempFile::with_prefix("ct-vm-disk-").expect("a temporary file");
        file.as_file().set_len(size << 20).expect("make it as large");
        Disk(file)
    }

    /// As one onto which an image was written, of so many MiB.
    pub fn written(image: &Path, size: u64) -> Disk {
        let disk = Disk::new(size);
        let mut from = File::open(image).expect("open the image");
        std::io::copy(&mut from, &mut disk.open()).expect("write it to the disk");
        disk
    }

    /// Its file.
    pub fn path(&self) -> &Path {
        self.0.path()
    }

    /// Its bytes.
    pub fn open(&self) -> File {
        self.0.reopen().expect("open a disk")
    }
}

/// A network interface: plugged into nothing, or into one end of a [`Network`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Nic {
    /// Its hardware address.
    pub mac: String,
    wire: Option<(PathBuf, PathBuf)>,
}

impl Nic {
    /// One without a cable.
    pub fn unplugged() -> Nic {
        Nic { mac: "52:54:00:00:00:01".to_owned(), wire: None }
    }

    fn backend(&self, number: usize) -> String {
        match &self.wire {
            None => format!("hubport,id=n{number},hubid={number}"),
            Some((here, there)) => format!(
                "dgram,id=n{number},local.type=unix,local.path={},remote.type=unix,remote.path={}",
                here.display(),
                there.display()
            ),
        }
    }
}

/// A cable between two machines.
#[derive(Debug)]
pub struct Network(TempDir);

impl Network {
    /// A new one.
    ///
    /// # Panics
    /// Where no directory can be made.
    #[expect(clippy::new_without_default, reason = "it makes a directory")]
    pub fn new() -> Network {
        Network(TempDir::with_prefix("ct-vm-net-").expect("a temporary directory"))
    }

    /// What its two ends are plugged into.
    pub fn ends(&self) -> [Nic; 2] {
        let (a, b) = (self.0.path().join("a"), self.0.path().join("b"));
        let nic = |n: u8, wire| Nic { mac: format!("52:54:00:00:01:0{n}"), wire: Some(wire) };
        [nic(1, (a.clone(), b.clone())), nic(2, (b, a))]
    }
}

#[test]
fn a_machine_has_what_its_config_says() {
    let image =
        Image { kernel: "/k".into(), initrd: "/i".into(), root: Some("/r".into()), arguments: String::new() };
    let disk = Disk::new(64);
    let network = Network::new();
    let [a, _] = network.ends();
    let config = Config { watchdog: true, ..Config::default() }.disk(&disk).nic(a).nic(Nic::unplugged());
    let words = config.words(&image, Path::new("/d")).join(" ");
    let file = disk.path().display().to_string();
    for part in ["-no-reboot", "file=/r,", &file, "i6300esb", "netdev=n0", "hubport,id=n1", "path=/d/agent"] {
        assert!(words.contains(part), "{part}: {words}");
    }
    assert!(
        !Config { reboots: true, ..Config::default() }
            .words(&image, Path::new("/d"))
            .contains(&"-no-reboot".into())
    );
}
