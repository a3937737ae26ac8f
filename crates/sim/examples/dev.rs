use keyway_sim::*;
fn main() {
    let a: Vec<String> = std::env::args().collect();
    match a[1].as_str() {
        "run" => {
            let s = scenario::Scenario::from_toml(&std::fs::read_to_string(&a[2]).unwrap()).unwrap();
            let t = std::time::Instant::now();
            let r = run::run(&s, &mut run::Hooks { read: &|f| std::fs::read_to_string(f).map_err(|e| e.to_string()), progress: &mut |_, _| () }).unwrap();
            let rss = std::fs::read_to_string("/proc/self/status").unwrap();
            let hwm: Vec<&str> = rss.lines().filter(|l| l.starts_with("VmHWM") || l.starts_with("VmRSS")).collect();
            println!("{}\n{hwm:?}", serde_json::to_string_pretty(&r.with_cost(t.elapsed().as_secs_f64(), None)).unwrap());
        }
        "sweep" => {
            let t = std::time::Instant::now();
            let sw = sweep::Sweep { start: a[2].parse().unwrap(), seeds: a[3].parse().unwrap(), overlay: None, jobs: 2 };
            let keep = a.len() > 4;
            let mut at = sw.start;
            let mut fails = 0;
            let mut sum = (0u64, 0u64, 0u64, 0u64,0u64, 0u64);
            while at < sw.start + sw.seeds {
                let n = sweep::sweep(&sweep::Sweep { start: at, seeds: sw.start + sw.seeds - at, ..sw }, &mut || true, &mut |p, o| {
                    sum.0 += o.tally.events; sum.1 += o.tally.puts_acked; sum.2 += o.tally.puts_unknown; sum.3 += o.tally.gets; sum.4 += o.tally.gets_failed; sum.5 = sum.5.max(o.tally.healed_in);
                    if let Some((c, at)) = &o.failure { println!("{}\n   {p}", sweep::failure_line(p, c, *at)); fails += 1; }
                }).unwrap();
                at += n;
                if !keep && fails > 0 { break; }
            }
            println!("{fails} fails, {sum:?}, {:?}", t.elapsed());
        }
        "replay" => {
            let p = swarm::Params::draw(a[2].parse().unwrap(), None);
            println!("{p}");
            let until = a.get(3).map(|s| span::parse(s).unwrap().0);
            let o = swarm::run(&p, Some(Box::new(|t, l| println!("{:>12.6} {l}", t as f64 / 1e6))), until);
            println!("{o:?}");
        }
        _ => {}
    }
}
