"""What tools/analysis_tools/gpu_check.py measures, one file for each subject."""
