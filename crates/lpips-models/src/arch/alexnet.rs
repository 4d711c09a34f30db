//! AlexNet as in torchvision (Krizhevsky, "One weird trick", 2014).

use super::table::{Architecture, Initialiser, Published, conv, pool};

pub(super) const ALEXNET: Architecture = Architecture {
    id: "alexnet",
    features: &[
        conv("conv1", 0, 64, 11, 4, 2),
        pool("pool1", 3, 2, false),
        conv("conv2", 3, 192, 5, 1, 2),
        pool("pool2", 3, 2, false),
        conv("conv3", 6, 384, 3, 1, 1),
        conv("conv4", 8, 256, 3, 1, 1),
        conv("conv5", 10, 256, 3, 1, 1),
        pool("pool5", 3, 2, false),
    ],
    taps: &["conv1", "conv2", "conv3", "conv4", "conv5"],
    initialiser: Initialiser::Default,
    published: Some(Published {
        sha256: "2b566cc3a4d6f0a7343701af22f461f1ac3dcd03a3ac28cce10968a1d3c85fdc",
        torchvision: "alexnet-owt-7be5be79.pth",
        hub: &[],
    }),
};
