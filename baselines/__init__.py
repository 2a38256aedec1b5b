"""The methods that the paper compares MetAug with: one file each."""
