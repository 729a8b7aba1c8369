"""What tests draw from: networks with their gradients by hand, and programs to be compiled."""
