//! A stage of one's own: a vision transformer makes tokens of a prompt's images.
//!
//! ```text
//!  ImageEncode(images: 2) ─▶ ImageEncoder, batched ─▶ Prefill, 2 × 576 tokens longer ─▶ Decode
//! ```

use mist::catalog::Precision;
use mist::clients::Site;
use mist::clients::tasks::{Discipline, Part, Task, TaskClient, TaskExt, TaskModel};
use mist::engine::{SimBuilder, Stream};
use mist::request::{Payload, StageExt, StageKind};
use mist::runtime::Bound;
use mist::scenario::Problem;
use mist::simulation::Simulation;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Makes tokens of images, which come into the prompt.
#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct ImageEncode {
    /// How many images; of 576 tokens each, as in LLaVA-1.5.
    images: u32,
}

impl StageKind for ImageEncode {
    fn client(&self) -> &'static str {
        "ImageEncoder"
    }
    fn finish(&self, payload: &mut Payload, _: &mut Stream) {
        payload.context_tokens += 576 * self.images;
    }
}

/// A vision transformer on one GPU, of whose peak it reaches 40 %; 2 ms more for each batch.
#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct ImageEncoder {
    /// Its parameters, such as 3e8 for CLIP's ViT-L.
    parameters: f64,
}

impl TaskClient for ImageEncoder {
    type Model = SecondsAnImage;
    fn deploy(&self, site: &Site<'_>) -> Result<SecondsAnImage, Vec<Problem>> {
        let peak = site.nodes[0].flops(Precision::Bf16);
        let peak = peak.map_err(|error| vec![Problem::new("", error.to_string())])?;
        Ok(SecondsAnImage(2.0 * self.parameters * 576.0 / (0.4 * peak)))
    }
}

struct SecondsAnImage(f64);

impl TaskModel for SecondsAnImage {
    type Stage = ImageEncode;
    fn discipline(&self) -> Discipline {
        Discipline::Batched { max_batch: 32 }
    }
    fn serve(&self, batch: &mut [Task<'_, ImageEncode>], _: &mut Stream, parts: &mut Vec<Part>) {
        let images: u32 = batch.iter().map(|task| task.stage.images).sum();
        let seconds = 2e-3 + self.0 * f64::from(images);
        parts.push(Part { name: "encode", seconds, bound: Bound::Compute });
    }
    fn source(&self) -> String {
        "40 % of the peak, 2 ms a batch".into()
    }
}

fn add_images(sim: &mut SimBuilder) {
    sim.task_client::<ImageEncoder>("ImageEncoder").stage_kind::<ImageEncode>("ImageEncode");
}

/// Two GPUs: one sees, one speaks.
const SCENARIO: &str = r#"(
    mist: 1,
    platforms: [(name: "box", nodes: [(name: "gpu", hardware: "H100-SXM5-80GB", count: 2)])],
    clients: [
        (name: "eye", cluster: Take(platform: "box", nodes: [("gpu", 1)]), runs: ImageEncoder(parameters: 3e8)),
        (name: "llm", cluster: Take(platform: "box", nodes: [("gpu", 1)]), runs: Llm(model: "Llama-3.1-8B")),
    ],
    workload: [(
        name: "chat", model: "Llama-3.1-8B", requests: 500, arrivals: Poisson(rate: per_s(8)), lengths: AzureConv,
        pipeline: [ImageEncode(images: 1), Prefill, Decode],
    )],
)"#;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    for images in [1, 2, 4] {
        let set = format!("workload[0].pipeline[0]=ImageEncode(images: {images})");
        let outcome = Simulation::new().with(add_images).set(set).read(SCENARIO, "images.ron")?.run()?;
        let ttft = outcome.summary.latency.ttft.ok_or("no request completed")?;
        println!("{images} images  TTFT p50 {:7.1} ms, p99 {:8.1} ms", ttft.p50_ms, ttft.p99_ms);
    }
    Ok(())
}
