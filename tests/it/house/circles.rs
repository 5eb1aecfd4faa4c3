//! Circles in the graph of imports: files that know each other, round about.

use std::collections::BTreeMap;

use petgraph::algo::tarjan_scc;
use petgraph::graphmap::DiGraphMap;

use super::text::{inline_modules, paths, words};
use super::{File, Source, test_modules};

/// The circles that run through files of several rooms. A room is a folder of `src`, or of `src/edge`; within one,
/// files may know each other. The crates beside `src` are rooms, too.
pub fn between_rooms(sources: &[Source]) -> Vec<String> {
    let tests = test_modules(sources);
    let files: BTreeMap<String, File<'_>> = sources
        .iter()
        .map(|source| File::read(source, &tests))
        .filter(|file| !file.is_test(0))
        .map(|file| (file.module.clone(), file))
        .collect();
    let mut graph: DiGraphMap<&str, ()> = DiGraphMap::new();
    for (module, file) in &files {
        for named in file.named_modules(&files) {
            graph.add_edge(module.as_str(), named, ());
        }
    }
    let circles = tarjan_scc(&graph).into_iter().filter(|circle| {
        let first = circle.first().map(|module| room(module));
        circle.iter().any(|module| Some(room(module)) != first)
    });
    circles.map(|circle| format!("know each other in a circle: {}", circle.join(", "))).collect()
}

fn room(module: &str) -> &str {
    let deep = if module.starts_with("edge/") { 2 } else { 1 };
    module.match_indices('/').nth(deep - 1).map_or(module, |(at, _)| &module[..at])
}

impl File<'_> {
    /// The modules that it names: by `crate::`, by climbing with `super::`, or from its own.
    fn named_modules<'f>(&self, files: &'f BTreeMap<String, File<'_>>) -> Vec<&'f str> {
        let own: Vec<&str> = self.module.split('/').filter(|name| !name.is_empty()).collect();
        let mut named = Vec::new();
        let mut add = |path: Vec<&str>| {
            // The longest beginning that is a module; the rest are its items.
            let module = (1..=path.len()).rev().find_map(|end| files.get_key_value(&path[..end].join("/")));
            named.extend(module.map(|(module, _)| module.as_str()).filter(|module| *module != self.module));
        };
        for at in words(&self.code, "crate").filter(|at| !self.is_test(*at)) {
            let root = if self.source.root == "src" { None } else { own.first().copied() };
            for path in paths(&self.code[at..]) {
                add(root.into_iter().chain(path.into_iter().skip(1)).collect());
            }
        }
        for at in words(&self.code, "super").filter(|at| !self.is_test(*at)) {
            if self.code[..at].ends_with("super::") || inline_modules(&self.code[..at]) > 0 {
                continue;
            }
            for path in paths(&self.code[at..]) {
                let climbed = path.iter().take_while(|name| **name == "super").count();
                let kept = own.len().saturating_sub(climbed);
                add(own[..kept].iter().copied().chain(path.into_iter().skip(climbed)).collect());
            }
        }
        for at in words(&self.code, "use").filter(|at| !self.is_test(*at)) {
            for path in paths(self.code[at + "use".len()..].trim_start()) {
                if !["crate", "super", "self"].contains(&path[0]) {
                    add(own.iter().copied().chain(path).collect());
                }
            }
        }
        named
    }
}
