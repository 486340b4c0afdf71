//! parse: keys that systemd or this project knows and that have no field here. Applies none.
use crate::values::boolean;

/// When such a line deserves no word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Quiet {
    /// It always says something that is not done here.
    Never,
    /// Where it switches the thing off.
    Off,
    /// Where it has this value, the default.
    At(&'static str),
    /// Always: it is for people or tools, or there is nothing to do for it in a container.
    Always,
}

/// A line's answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Known {
    /// Has no effect here that anyone would miss.
    Harmless,
    /// Asks for something that is not done here.
    NotApplied,
}

type List = (Quiet, &'static str);

const UNIT: &[List] = &[
    (
        Quiet::Always,
        "SourcePath RequiresMountsFor WantsMountsFor IgnoreOnIsolate IgnoreOnSnapshot OnFailureIsolate",
    ),
    (Quiet::Off, "StopWhenUnneeded RefuseManualStart RefuseManualStop AllowIsolate SurviveFinalKillSignal"),
    (Quiet::At("infinity"), "JobTimeoutSec JobRunningTimeoutSec"),
    (Quiet::At("none"), "JobTimeoutAction"),
    (Quiet::At("replace"), "OnFailureJobMode"),
    (Quiet::At("fail"), "OnSuccessJobMode"),
    (Quiet::At("inactive"), "CollectMode"),
    (
        Quiet::Never,
        "PropagatesStopTo StopPropagatedFrom JoinsNamespaceOf JobTimeoutRebootArgument RebootArgument",
    ),
    (Quiet::Never, "FailureActionExitStatus SuccessActionExitStatus BindTo"),
];

const SERVICE: &[List] = &[
    (Quiet::At("0"), "FileDescriptorStoreMax RuntimeRandomizedExtraSec"),
    (Quiet::At("no"), "FileDescriptorStorePreserve"),
    (Quiet::At("main"), "ExitType"),
    (Quiet::At("normal"), "RestartMode"),
    (Quiet::At("terminate"), "TimeoutStartFailureMode TimeoutStopFailureMode"),
    (Quiet::At("SIGHUP"), "ReloadSignal"),
    (Quiet::At("stop"), "OOMPolicy"),
    (Quiet::Off, "RootDirectoryStartOnly NonBlocking"),
    (Quiet::Always, "SysVStartPriority BusPolicy"),
    (Quiet::Never, "Sockets OpenFile USBFunctionDescriptors USBFunctionStrings RebootArgument"),
];

const EXEC: &[List] = &[
    (
        Quiet::Off,
        "DynamicUser PrivateDevices PrivateNetwork PrivateUsers PrivateMounts PrivateIPC PrivatePIDs",
    ),
    (Quiet::Off, "ProtectSystem ProtectHome ProtectHostname ProtectClock ProtectKernelTunables"),
    (Quiet::Off, "ProtectKernelModules ProtectKernelLogs ProtectControlGroups LockPersonality"),
    (Quiet::Off, "MemoryDenyWriteExecute RestrictRealtime RestrictSUIDSGID RestrictNamespaces RemoveIPC"),
    (
        Quiet::Off,
        "CPUSchedulingResetOnFork TTYReset TTYVHangup TTYVTDisallocate MountAPIVFS SetLoginEnvironment",
    ),
    (Quiet::Off, "RootEphemeral RestrictFileSystems RestrictAddressFamilies MemoryKSM"),
    (Quiet::At("default"), "ProtectProc"),
    (Quiet::At("all"), "ProcSubset"),
    (Quiet::At("other"), "CPUSchedulingPolicy"),
    (Quiet::At("0"), "CPUSchedulingPriority TimeoutCleanSec"),
    (Quiet::At("inherit"), "KeyringMode"),
    (Quiet::At("init"), "UtmpMode"),
    (Quiet::Always, "SyslogLevelPrefix"),
    (
        Quiet::Never,
        "IOSchedulingClass IOSchedulingPriority CPUAffinity NUMAPolicy NUMAMask TimerSlackNSec SecureBits",
    ),
    (Quiet::Never, "Personality Capabilities PAMName UtmpIdentifier TTYPath TTYRows TTYColumns"),
    (
        Quiet::Never,
        "SyslogFacility SyslogLevel LogLevelMax LogExtraFields LogRateLimitIntervalSec LogRateLimitBurst",
    ),
    (Quiet::Never, "LogFilterPatterns LogNamespace CoredumpFilter"),
    (
        Quiet::Never,
        "ReadWritePaths ReadOnlyPaths InaccessiblePaths ExecPaths NoExecPaths BindPaths BindReadOnlyPaths",
    ),
    (Quiet::Never, "ReadWriteDirectories ReadOnlyDirectories InaccessibleDirectories TemporaryFileSystem"),
    (Quiet::Never, "SystemCallFilter SystemCallArchitectures SystemCallErrorNumber SystemCallLog"),
    (
        Quiet::Never,
        "AppArmorProfile SELinuxContext SmackProcessLabel MountFlags MountImages MountImagePolicy",
    ),
    (Quiet::Never, "RootImage RootImageOptions RootImagePolicy RootHash RootHashSignature RootVerity"),
    (Quiet::Never, "ExtensionImages ExtensionDirectories ExtensionImagePolicy"),
    (
        Quiet::Never,
        "LoadCredential LoadCredentialEncrypted SetCredential SetCredentialEncrypted ImportCredential",
    ),
    (Quiet::Never, "NetworkNamespacePath IPCNamespacePath"),
];

const CGROUP: &[List] = &[
    (
        Quiet::Always,
        "CPUAccounting MemoryAccounting TasksAccounting IOAccounting IPAccounting BlockIOAccounting",
    ),
    (Quiet::Off, "Delegate DelegateSubgroup CoredumpReceive"),
    (Quiet::At("auto"), "DevicePolicy MemoryPressureWatch ManagedOOMSwap ManagedOOMMemoryPressure"),
    (Quiet::At("none"), "ManagedOOMPreference"),
    (Quiet::At("infinity"), "MemoryZSwapMax StartupMemoryZSwapMax StartupMemoryMax StartupMemoryHigh"),
    (Quiet::At("yes"), "MemoryZSwapWriteback"),
    (Quiet::At("system.slice"), "Slice"),
    (
        Quiet::Never,
        "StartupCPUWeight StartupCPUShares StartupIOWeight StartupBlockIOWeight StartupAllowedCPUs",
    ),
    (
        Quiet::Never,
        "StartupAllowedMemoryNodes StartupMemoryLow StartupMemorySwapMax DefaultMemoryLow DefaultMemoryMin",
    ),
    (
        Quiet::Never,
        "DefaultStartupMemoryLow CPUQuotaPeriodSec IODeviceWeight IOReadBandwidthMax IOWriteBandwidthMax",
    ),
    (
        Quiet::Never,
        "IOReadIOPSMax IOWriteIOPSMax IODeviceLatencyTargetSec BlockIODeviceWeight BlockIOReadBandwidth",
    ),
    (
        Quiet::Never,
        "BlockIOWriteBandwidth IPAddressAllow IPAddressDeny IPIngressFilterPath IPEgressFilterPath",
    ),
    (
        Quiet::Never,
        "SocketBindAllow SocketBindDeny RestrictNetworkInterfaces BPFProgram NFTSet DeviceAllow NetClass",
    ),
    (Quiet::Never, "DisableControllers ManagedOOMMemoryPressureLimit ManagedOOMMemoryPressureDurationSec"),
    (Quiet::Never, "MemoryPressureThresholdSec"),
];

const KILL: &str =
    "KillMode KillSignal RestartKillSignal SendSIGHUP SendSIGKILL FinalKillSignal WatchdogSignal";

const SOCKET: &[List] = &[
    (Quiet::Never, "ListenNetlink ListenSpecial"),
    (
        Quiet::Never,
        "ListenMessageQueue ListenUSBFunction SocketProtocol BindIPv6Only BindToDevice ExecStartPre",
    ),
    (Quiet::Never, "ExecStartPost ExecStopPre ExecStopPost TimeoutSec"),
    (Quiet::Never, "Writable FlushPending MaxConnections MaxConnectionsPerSource KeepAlive KeepAliveTimeSec"),
    (
        Quiet::Never,
        "KeepAliveIntervalSec KeepAliveProbes NoDelay Priority DeferAcceptSec ReceiveBuffer SendBuffer IPTOS",
    ),
    (Quiet::Never, "IPTTL Mark ReusePort PipeSize FreeBind Transparent Broadcast PassSecurity"),
    (
        Quiet::Never,
        "PassPacketInfo Timestamping TCPCongestion MessageQueueMaxMessages MessageQueueMessageSize",
    ),
    (Quiet::Never, "TriggerLimitIntervalSec TriggerLimitBurst"),
    (Quiet::Never, "PollLimitIntervalSec PollLimitBurst PassFileDescriptorsToExec SmackLabel SmackLabelIPIn"),
    (Quiet::Never, "SmackLabelIPOut SELinuxContextFromNet"),
    (Quiet::Never, KILL),
];
const TIMER: &[List] = &[
    (Quiet::Always, "AccuracySec FixedRandomDelay RemainAfterElapse"),
    (Quiet::Never, "OnClockChange OnTimezoneChange WakeSystem"),
];
const PATH: &[List] = &[
    (Quiet::Never, "PathExists PathExistsGlob PathChanged PathModified DirectoryNotEmpty Unit MakeDirectory"),
    (Quiet::Never, "DirectoryMode TriggerLimitIntervalSec TriggerLimitBurst"),
];
const MOUNT: &[List] = &[
    (Quiet::Off, "SloppyOptions ReadWriteOnly"),
    (Quiet::Never, "Where DirectoryMode TimeoutIdleSec ExtraOptions"),
    (Quiet::Never, KILL),
];
const SCOPE: &[List] = &[
    (Quiet::Never, "RuntimeMaxSec RuntimeRandomizedExtraSec TimeoutStopSec OOMPolicy"),
    (Quiet::Never, KILL),
];

const RESOURCES: &[List] = &[
    (Quiet::Never, "CPUs IOReadBandwidthMax IOWriteBandwidthMax IOReadIOPSMax IOWriteIOPSMax MemoryZSwapMax"),
    (
        Quiet::Never,
        "DiskSpace DiskInodes DiskGraceSec DiskBackend PtysMax InotifyWatchesMax InotifyInstancesMax",
    ),
    (Quiet::Never, "KeysMax NamespacesMax"),
];
const INTERFACE: &[List] = &[
    (
        Quiet::Never,
        "Name Kind Address Gateway Bridge MACAddress Publish RateEgress RateIngress AntiSpoof MTU",
    ),
    (Quiet::Never, "Nameserver SearchDomain"),
];

/// The lists that a section's keys are looked for in.
fn lists(section: &str) -> &'static [&'static [List]] {
    match section {
        "Unit" => &[UNIT],
        "Service" => &[SERVICE, EXEC, CGROUP],
        "Socket" => &[SOCKET, EXEC, CGROUP],
        "Timer" => &[TIMER],
        "Path" => &[PATH],
        "Mount" | "Automount" | "Swap" => &[MOUNT, EXEC, CGROUP],
        "Slice" => &[CGROUP],
        "Scope" => &[SCOPE, CGROUP],
        "Resources" => &[RESOURCES],
        "Interface" => &[INTERFACE],
        _ => &[],
    }
}

/// What to say of `key=value` in a section; none if nobody knows the key.
pub(super) fn lookup(section: &str, key: &str, value: &str) -> Option<Known> {
    let all = lists(section).iter().copied().flatten();
    let quiet = all.filter(|(_, keys)| keys.split(' ').any(|k| k == key)).map(|(quiet, _)| *quiet).next()?;
    let harmless = match quiet {
        Quiet::Never => false,
        Quiet::Off => boolean(value) == Ok(false) || matches!(value, "infinity" | "none"),
        Quiet::At(default) => value == default,
        Quiet::Always => true,
    };
    Some(if harmless || value.is_empty() { Known::Harmless } else { Known::NotApplied })
}

/// The keys of a section, for near matches.
pub(super) fn keys(section: &str) -> impl Iterator<Item = &'static str> {
    lists(section).iter().copied().flatten().flat_map(|(_, keys)| keys.split(' '))
}
