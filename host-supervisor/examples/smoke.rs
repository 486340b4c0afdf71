use host_supervisor::{apply, facts, paths::Paths, plan, spec::*};
use std::os::fd::AsFd;
fn main() {
    let f = facts::probe();
    let paths = Paths::new("/tmp/smoke");
    let args: Vec<String> = std::env::args().collect();
    let spec = Spec {
        name: "web".into(), description: String::new(), hostname: "web".into(),
        root: Root::Overlay(vec![Layers{target:"/".into(), lower: "/tmp/smoke-root".into(), changes: paths.var_of("web").join("changes/root")}]),
        ids: Some(IdRange{base:1000000,size:65536}), init: Init::Guest(args[1].clone()), unit: "default.target".into(), ready: "target".into(),
        environment: vec![], binds: vec![], tmpfs: vec![], devices: vec![], capabilities: host_supervisor::resolve::default_capabilities(true),
        no_new_privileges: true, denied_calls: vec!["swapon".into()], time_namespace: true, rlimits: vec![], oom_score_adjust: 0, group: "ct-smoke/web".into(),
        joins: f.cgroups.v1.keys().copied().filter(|c| [facts::Controller::Cpu, facts::Controller::Memory, facts::Controller::Pids].contains(c)).collect(),
        delegates: vec![], limits: vec![Limit{key:"MemoryMax".into(), asked:"64M".into(), writes: vec![Write{controller: facts::Controller::Memory, file:"memory.limit_in_bytes".into(), value:"67108864".into()}]}], not_in_force: vec![], ephemeral: true };
    let p = plan::start(&spec, &f.cgroups, &paths);
    print!("{p}");
    let mut h = apply::RealHost::new(f.cgroups.clone(), std::path::Path::new("/bin/busybox")).unwrap();
    h.log_to("/tmp/smoke.log".into());
    let t = std::time::Instant::now();
    if let Err(e) = apply::run(&p, &mut h) { println!("FAILED {e}"); return; }
    let s = h.take().unwrap();
    nix::sys::wait::waitid(nix::sys::wait::Id::PIDFd(s.launch.spawned.pidfd.as_fd()), nix::sys::wait::WaitPidFlag::WEXITED).map(|w| println!("{w:?} {:?}", t.elapsed())).unwrap();
    let mut b = [0u8; 64];
    let n = nix::unistd::read(&s.launch.spawned.errors, &mut b).unwrap_or(0);
    if let Some(f) = s.launch.script.explain(&b[..n]) { println!("child failed: {f}"); }
    println!("{:?}", apply::run(&plan::release(&spec, &f.cgroups, &paths), &mut h));
}
