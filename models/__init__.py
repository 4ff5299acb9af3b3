"""What is measured: adaptive polyphase layers, blur layers, and the U-Net variants."""
