//! Parity of the VGG tables with the VGG of candle-transformers.

use candle_core::{DType, Device, ModuleT, Tensor};
use candle_nn::VarBuilder;
use candle_transformers::models::vgg::{Models, Vgg};
use lpips_core::{Backbone, Network};
use lpips_workspace::{largest_difference, pattern_tensor, patterned_weights, values};

/// Compares pool5 with candle's classifier, whose weights pass 1000 of its values on as logits.
#[test]
fn vgg_pool5_equals_candle_transformers() {
    let (step, classes) = (25, 1000);
    let device = &Device::Cpu;
    let choose = |rows: usize, columns: usize| {
        let mut data = vec![0f32; rows * columns];
        (0..rows).for_each(|row| data[row * columns + row] = 1.0);
        Tensor::from_vec(data, (rows, columns), device).unwrap()
    };
    let x = pattern_tensor("x", &[1, 3, 224, 224], 2.0).unwrap();
    for (network, model) in [(Network::Vgg13, Models::Vgg13), (Network::Vgg19, Models::Vgg19)] {
        let mut tensors = patterned_weights(network).unwrap();
        // The first 1000 rows choose every 25th of 25,088 values; the other layers hand the first 1000 on.
        let rows = 4096;
        let mut first = vec![0f32; rows * 25_088];
        (0..classes).for_each(|row| first[row * 25_088 + row * step] = 1.0);
        tensors.insert("pre_logits.fc1.weight".into(), Tensor::from_vec(first, (rows, 512, 7, 7), device).unwrap());
        tensors.insert("pre_logits.fc2.weight".into(), choose(rows, rows).reshape((rows, rows, 1, 1)).unwrap());
        tensors.insert("head.fc.weight".into(), choose(classes, rows));
        for (name, size) in [("pre_logits.fc1.bias", rows), ("pre_logits.fc2.bias", rows), ("head.fc.bias", classes)] {
            tensors.insert(name.into(), Tensor::zeros(size, DType::F32, device).unwrap());
        }
        let vb = VarBuilder::from_tensors(tensors, DType::F32, device);
        let theirs =
            values(&Vgg::new(vb.clone(), model).unwrap().forward_t(&x.squeeze(0).unwrap(), false).unwrap()).unwrap();

        let backbone = Backbone::new(network, &["pool5"], &vb).unwrap();
        let pool5 = values(&backbone.features(&x).unwrap()[0]).unwrap();
        let ours: Vec<f32> = pool5.into_iter().step_by(step).take(classes).collect();
        let largest = theirs.iter().fold(0f32, |m, v| m.max(*v));
        assert!(largest > 0.1, "the comparison must not be of zeros: {largest}");
        assert!(largest_difference(&ours, &theirs) < 1e-4 * largest, "{network}");
    }
}
