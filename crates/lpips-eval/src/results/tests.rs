use super::*;

fn results(metrics: &[&str]) -> Results {
    let metrics: Vec<String> = metrics.iter().map(ToString::to_string).collect();
    let header = Header {
        kind: Task::Jnd,
        set: "a hash".to_string(),
        size: 64,
        items: 5,
        labelled_here: false,
        identities: metrics.clone(),
        metrics,
    };
    let record = |at: usize| Record {
        dataset: 0,
        files: vec![PathBuf::from(format!("{at}-p0.png")), PathBuf::from(format!("{at}-p1.png"))],
        judge: 0.5,
        distances: Vec::new(),
    };
    Results { header, datasets: vec!["cnn".to_string()], records: (0..5).map(record).collect() }
}

/// Results with distances.
fn measured(metrics: &[&str]) -> Results {
    let mut results = results(metrics);
    for (at, record) in results.records.iter_mut().enumerate() {
        record.distances = (0..metrics.len()).map(|metric| vec![(10 * at + metric) as f64]).collect();
    }
    results
}

#[test]
fn results_log_resumes_at_a_whole_batch_to_the_same_bytes() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("results.jsonl");
    let whole = measured(&["a", "b"]);
    whole.write(&path).unwrap();
    let bytes = std::fs::read(&path).unwrap();
    let header = bytes.iter().position(|byte| *byte == b'\n').unwrap() + 1;
    for length in (header..=bytes.len()).chain([0]) {
        std::fs::write(&path, &bytes[..length]).unwrap();
        let mut resumed = results(&["a", "b"]);
        let (mut log, count) = ResultsLog::open(&path, &mut resumed, 2).unwrap();
        assert!(count % 2 == 0 || count == 5, "{count} of 5 from {length} bytes");
        let with_distances = resumed.records.iter().filter(|record| record.distances.len() == 2).count();
        assert_eq!(with_distances, count);
        log.append(&whole, &whole.records[count..]).unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), bytes, "from {length} bytes");
    }
}

#[test]
fn results_log_of_other_settings_or_in_use_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("results.jsonl");
    let (log, _) = ResultsLog::open(&path, &mut results(&["a"]), 2).unwrap();
    let refused = |mut results: Results| ResultsLog::open(&path, &mut results, 2).unwrap_err().to_string();
    assert!(refused(results(&["a"])).contains("is being written by another run"));
    drop(log);
    assert!(refused(results(&["b"])).contains("the list of metrics was a and is b"));
    let mut other = results(&["a"]);
    other.header.labelled_here = true;
    assert!(ResultsLog::open(&path, &mut other, 2).is_ok(), "the same pictures and judgments");
}

#[test]
fn joined_results_have_each_metric_once() {
    let joined = measured(&["a", "b"]).joined(&measured(&["b", "c"])).unwrap();
    assert_eq!(joined.header.metrics, ["a", "b", "c"]);
    assert_eq!(joined.records[1].distances, [[10.0], [11.0], [11.0]]);
    let mut other = measured(&["c"]);
    other.header.size = 32;
    let error = joined.joined(&other).unwrap_err().to_string();
    assert!(error.contains("5 pairs of cnn at 64 pixels and 5 pairs of cnn at 32 pixels"), "{error}");
}
