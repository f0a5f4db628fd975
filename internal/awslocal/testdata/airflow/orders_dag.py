"""The day's orders on EMR: upload code and data, check, create a cluster, wait for it, submit, wait, terminate."""
import os
from datetime import datetime

from airflow.providers.amazon.aws.operators.emr import EmrAddStepsOperator, EmrCreateJobFlowOperator, EmrTerminateJobFlowOperator
from airflow.providers.amazon.aws.sensors.emr import EmrJobFlowSensor, EmrStepSensor
from airflow.providers.amazon.aws.sensors.s3 import S3KeySensor
from airflow.providers.amazon.aws.transfers.local_to_s3 import LocalFilesystemToS3Operator
from airflow.sdk import DAG

HERE = os.path.dirname(__file__)
BUCKET = "shop-orders"

JOB_FLOW = {
    "Name": "orders-{{ ds_nodash }}",
    "LogUri": f"s3://{BUCKET}/emr-logs/",
    "ReleaseLabel": "emr-7.13.0",
    "Applications": [{"Name": "Hadoop"}, {"Name": "Spark"}],
    "Instances": {
        "InstanceGroups": [
            {"Name": "Primary", "Market": "ON_DEMAND", "InstanceRole": "MASTER", "InstanceType": "m5.xlarge", "InstanceCount": 1},
            {"Name": "Core", "Market": "SPOT", "InstanceRole": "CORE", "InstanceType": "m5.xlarge", "InstanceCount": 2},
        ],
        "KeepJobFlowAliveWhenNoSteps": True,
        "TerminationProtected": False,
    },
    "AutoTerminationPolicy": {"IdleTimeout": 3600},
    "BootstrapActions": [{"Name": "packages", "ScriptBootstrapAction": {"Path": f"s3://{BUCKET}/code/bootstrap.sh", "Args": ["pandas"]}}],
    "Configurations": [{"Classification": "spark-defaults", "Properties": {"spark.sql.session.timeZone": "UTC"}}],
    "VisibleToAllUsers": True,
    "JobFlowRole": "EMR_EC2_DefaultRole",
    "ServiceRole": "EMR_DefaultRole",
    "Tags": [{"Key": "team", "Value": "data"}],
}

STEPS = [{
    "Name": "orders {{ ds }}",
    "ActionOnFailure": "CANCEL_AND_WAIT",
    "HadoopJarStep": {
        "Jar": "command-runner.jar",
        "Args": ["spark-submit", "--deploy-mode", "client", f"s3://{BUCKET}/code/orders.py", "{{ ds_nodash }}"],
    },
}]

with DAG("orders", start_date=datetime(2017, 11, 1), schedule="0 6 * * *", catchup=False):
    code = LocalFilesystemToS3Operator(task_id="upload_code", filename=f"{HERE}/orders.py", dest_bucket=BUCKET, dest_key="code/orders.py", replace=True)
    boot = LocalFilesystemToS3Operator(task_id="upload_bootstrap", filename=f"{HERE}/bootstrap.sh", dest_bucket=BUCKET, dest_key="code/bootstrap.sh", replace=True)
    data = LocalFilesystemToS3Operator(task_id="upload_data", filename=HERE + "/orders_{{ ds_nodash }}.csv", dest_bucket=BUCKET, dest_key="raw/orders_{{ ds_nodash }}.csv", replace=True)
    check = S3KeySensor(task_id="check", bucket_name=BUCKET, bucket_key=["code/orders.py", "code/bootstrap.sh", "raw/orders_{{ ds_nodash }}.csv"], poke_interval=1, timeout=60)
    create = EmrCreateJobFlowOperator(task_id="create", job_flow_overrides=JOB_FLOW)
    ready = EmrJobFlowSensor(task_id="ready", job_flow_id=create.output, target_states=["WAITING"], failed_states=["TERMINATING", "TERMINATED", "TERMINATED_WITH_ERRORS"], poke_interval=1)
    submit = EmrAddStepsOperator(task_id="submit", job_flow_id=create.output, steps=STEPS)
    done = EmrStepSensor(task_id="done", job_flow_id=create.output, step_id="{{ task_instance.xcom_pull('submit')[0] }}", poke_interval=2)
    terminate = EmrTerminateJobFlowOperator(task_id="terminate", job_flow_id=create.output).as_teardown(setups=create)

    [code, boot, data] >> check >> create >> ready >> submit >> done >> terminate
