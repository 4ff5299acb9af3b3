"""The metrics by name, for lists that shall not wait for PyTorch."""

from equibench.entries import Deferred, Info

__all__ = ["nmse", "psnr", "ssim", "ssim_columns"]

nmse = Deferred("equibench.metrics:nmse", Info("‖a − b‖² / ‖a‖², with no epsilon"))
psnr = Deferred("equibench.metrics:psnr", Info("10·log10(R² / mean((a − b)²)), in dB"))
ssim = Deferred(
    "equibench.metrics:ssim", Info("Wang 2004, with a uniform 7×7 window and sample covariance")
)
ssim_columns = Deferred(
    "equibench.metrics:ssim_columns",
    Info("the mean over image columns of a 1-D SSIM along rows, with a window of 7"),
)
