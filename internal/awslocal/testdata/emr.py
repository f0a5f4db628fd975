"""Calls every operation that is built, and holds each answer against botocore's own model of the service."""
import datetime, json
import boto3, botocore.exceptions

emr = boto3.client("emr")
seen = set()


def hold(value, shape, where):
    kind = shape.type_name
    if kind == "structure":
        assert isinstance(value, dict), (where, value)
        for k in value:
            assert k in shape.members, f"{where} has no member {k}"
        for k in shape.required_members:
            assert k in value, f"{where} lacks {k}"
        for k, v in value.items():
            assert v is not None, f"{where}.{k} is null"
            hold(v, shape.members[k], f"{where}.{k}")
    elif kind == "list":
        assert isinstance(value, list), (where, value)
        for i, v in enumerate(value):
            hold(v, shape.member, f"{where}[{i}]")
    elif kind == "map":
        assert isinstance(value, dict), (where, value)
        for v in value.values():
            hold(v, shape.value, where)
    elif kind in ("string", "blob"):
        assert isinstance(value, str), (where, value)
        if getattr(shape, "enum", None):
            assert value in shape.enum, (where, value)
    elif kind == "timestamp":
        assert isinstance(value, (int, float)) and not isinstance(value, bool) and value > 1e9, (where, value)
    elif kind in ("integer", "long"):
        assert isinstance(value, int) and not isinstance(value, bool), (where, value)
    elif kind in ("float", "double"):
        assert isinstance(value, (int, float)), (where, value)
    elif kind == "boolean":
        assert isinstance(value, bool), (where, value)
    else:
        assert False, (where, kind)


def check(http_response, parsed, model, **_):
    seen.add(model.name)
    if http_response.status_code != 200 or model.output_shape is None:
        return
    text = http_response.content
    hold(json.loads(text) if text else {}, model.output_shape, model.name)


emr.meta.events.register("after-call.emr", check)
NOW = datetime.datetime.now(datetime.timezone.utc)
assert NOW


def ask(**more):
    return {"Name": "c", "ReleaseLabel": "emr-7.13.0", "ServiceRole": "EMR_DefaultRole", "JobFlowRole": "EMR_EC2_DefaultRole", "Applications": [{"Name": "Spark"}],
            "Instances": {"KeepJobFlowAliveWhenNoSteps": True, "InstanceGroups": [
                {"Name": "p", "InstanceRole": "MASTER", "InstanceType": "m5.xlarge", "InstanceCount": 1},
                {"Name": "c", "InstanceRole": "CORE", "InstanceType": "m5.xlarge", "InstanceCount": 2, "Market": "SPOT", "BidPrice": "0.1", "EbsConfiguration": {"EbsBlockDeviceConfigs": [{"VolumeSpecification": {"VolumeType": "gp3", "SizeInGB": 32}, "VolumesPerInstance": 2}]}}]}, **more}


def fails(code, text, call, **args):
    try:
        call(**args)
    except botocore.exceptions.ClientError as e:
        assert e.response["Error"]["Code"] == code and text in e.response["Error"]["Message"], e.response["Error"]
        return
    assert False, f"{call} did not fail"


def bash(text, name="s"):
    return {"Name": name, "ActionOnFailure": "CONTINUE", "HadoopJarStep": {"Jar": "command-runner.jar", "Args": ["bash", "-c", text], "Properties": [{"Key": "k", "Value": "v"}]}}


fast = {"Delay": 1, "MaxAttempts": 60}
run = emr.run_job_flow(**ask(Tags=[{"Key": "team", "Value": "data"}], LogUri="s3://logs/emr", AutoTerminationPolicy={}, Configurations=[{"Classification": "spark-defaults", "Properties": {"a": "b"}}],
                             BootstrapActions=[{"Name": "b", "ScriptBootstrapAction": {"Path": "file:/bin/true", "Args": ["x"]}}], ManagedScalingPolicy={"ComputeLimits": {"UnitType": "Instances", "MinimumCapacityUnits": 2, "MaximumCapacityUnits": 5}}))
j = run["JobFlowId"]
assert len(j) == 15 and run["ClusterArn"].endswith(":cluster/" + j), run
emr.get_waiter("cluster_running").wait(ClusterId=j, WaiterConfig=fast)
c = emr.describe_cluster(ClusterId=j)["Cluster"]
assert c["LogUri"] == "s3n://logs/emr/" and not c["AutoTerminate"] and c["Applications"] == [{"Name": "Spark", "Version": "3.5.6"}] and c["InstanceCollectionType"] == "INSTANCE_GROUP", c
assert c["Status"]["Timeline"].keys() == {"CreationDateTime", "ReadyDateTime"}, c["Status"]
assert emr.get_auto_termination_policy(ClusterId=j)["AutoTerminationPolicy"] == {"IdleTimeout": 3600}
emr.remove_auto_termination_policy(ClusterId=j)
assert "AutoTerminationPolicy" not in emr.get_auto_termination_policy(ClusterId=j)
emr.put_auto_termination_policy(ClusterId=j, AutoTerminationPolicy={"IdleTimeout": 60})
assert emr.get_managed_scaling_policy(ClusterId=j)["ManagedScalingPolicy"]["ComputeLimits"]["MaximumCapacityUnits"] == 5
emr.remove_managed_scaling_policy(ClusterId=j)
emr.put_managed_scaling_policy(ClusterId=j, ManagedScalingPolicy={"ComputeLimits": {"UnitType": "Instances", "MinimumCapacityUnits": 1, "MaximumCapacityUnits": 2}})
emr.add_tags(ResourceId=j, Tags=[{"Key": "a", "Value": "1"}, {"Key": "team", "Value": "other"}])
emr.remove_tags(ResourceId=j, TagKeys=["a"])
assert emr.describe_cluster(ClusterId=j)["Cluster"]["Tags"] == [{"Key": "team", "Value": "other"}]
assert [b["Name"] for b in emr.list_bootstrap_actions(ClusterId=j)["BootstrapActions"]] == ["b"]

groups = emr.list_instance_groups(ClusterId=j)["InstanceGroups"]
assert [(g["InstanceGroupType"], g["RequestedInstanceCount"], g["RunningInstanceCount"], g["Status"]["State"]) for g in groups] == [("MASTER", 1, 1, "RUNNING"), ("CORE", 2, 2, "RUNNING")], groups
assert len(groups[1]["EbsBlockDevices"]) == 2
core = groups[1]["Id"]
emr.modify_instance_groups(ClusterId=j, InstanceGroups=[{"InstanceGroupId": core, "InstanceCount": 4}])
emr.add_instance_groups(JobFlowId=j, InstanceGroups=[{"InstanceRole": "TASK", "InstanceType": "c5.xlarge", "InstanceCount": 1, "Market": "SPOT"}])
assert len(emr.list_instances(ClusterId=j, InstanceStates=["RUNNING"])["Instances"]) == 6
emr.modify_instance_groups(ClusterId=j, InstanceGroups=[{"InstanceGroupId": core, "InstanceCount": 1}])
assert len(emr.list_instances(ClusterId=j, InstanceGroupTypes=["CORE"], InstanceStates=["TERMINATED"])["Instances"]) == 3
rule = {"Name": "r", "Action": {"SimpleScalingPolicyConfiguration": {"ScalingAdjustment": 1}}, "Trigger": {"CloudWatchAlarmDefinition": {"ComparisonOperator": "LESS_THAN", "MetricName": "m", "Period": 300, "Threshold": 1.5}}}
p = emr.put_auto_scaling_policy(ClusterId=j, InstanceGroupId=core, AutoScalingPolicy={"Constraints": {"MinCapacity": 1, "MaxCapacity": 3}, "Rules": [rule]})
assert p["AutoScalingPolicy"]["Status"]["State"] == "ATTACHED"
emr.remove_auto_scaling_policy(ClusterId=j, InstanceGroupId=core)
fails("InvalidRequestException", "mutually exclusive", emr.list_instance_fleets, ClusterId=j)

emr.set_termination_protection(JobFlowIds=[j], TerminationProtected=True)
emr.set_visible_to_all_users(JobFlowIds=[j], VisibleToAllUsers=False)
emr.set_unhealthy_node_replacement(JobFlowIds=[j], UnhealthyNodeReplacement=True)
fails("ValidationException", "termination protected", emr.terminate_job_flows, JobFlowIds=[j])
emr.set_termination_protection(JobFlowIds=[j], TerminationProtected=False)
assert emr.modify_cluster(ClusterId=j, StepConcurrencyLevel=10)["StepConcurrencyLevel"] == 10
fails("InvalidRequestException", "Invalid step concurrency level", emr.modify_cluster, ClusterId=j, StepConcurrencyLevel=257)

# Steps, over more than a page.
ids = [i for n in range(6) for i in emr.add_job_flow_steps(JobFlowId=j, Steps=[bash("true", f"s{n}.{i}") for i in range(10)])["StepIds"]]
fails("ValidationException", "is invalid", emr.add_job_flow_steps, JobFlowId=j, Steps=[dict(bash("true"), ActionOnFailure="TERMINATE_CLUSTER")])
emr.get_waiter("step_complete").wait(ClusterId=j, StepId=ids[-1], WaiterConfig=fast)
for i in ids:
    emr.get_waiter("step_complete").wait(ClusterId=j, StepId=i, WaiterConfig=fast)
assert [s["Id"] for page in emr.get_paginator("list_steps").paginate(ClusterId=j) for s in page["Steps"]] == ids[::-1]
assert [len(page["Steps"]) for page in emr.get_paginator("list_steps").paginate(ClusterId=j, StepStates=["COMPLETED"])] == [50, 10]
assert {s["Id"] for s in emr.list_steps(ClusterId=j, StepIds=ids[:10])["Steps"]} == set(ids[:10])
fails("InvalidRequestException", "Cannot specify both", emr.list_steps, ClusterId=j, StepIds=ids[:1], StepStates=["RUNNING"])
fails("InvalidRequestException", "Marker", emr.list_steps, ClusterId=j, Marker="nonsense")
bad = emr.add_job_flow_steps(JobFlowId=j, Steps=[bash("echo oh no >&2; exit 1")])["StepIds"][0]
try:
    emr.get_waiter("step_complete").wait(ClusterId=j, StepId=bad, WaiterConfig=fast)
    assert False, "a failed step was waited for to its end"
except botocore.exceptions.WaiterError as e:
    assert e.last_response["Step"]["Status"]["FailureDetails"]["Message"] == "oh no", e.last_response
    assert e.last_response["Step"]["Config"]["Properties"] == {"k": "v"}
slow = emr.add_job_flow_steps(JobFlowId=j, Steps=[bash("exec sleep 300")])["StepIds"][0]
info = emr.cancel_steps(ClusterId=j, StepIds=[slow, bad], StepCancellationOption="TERMINATE_PROCESS")["CancelStepsInfoList"]
assert [i["Status"] for i in info] == ["SUBMITTED", "FAILED"], info
many = emr.run_job_flow(**ask(Steps=[bash("sleep 60")] * 256))["JobFlowId"]
fails("ValidationException", "Maximum number of active steps", emr.add_job_flow_steps, JobFlowId=many, Steps=[bash("true")])
emr.terminate_job_flows(JobFlowIds=[many])

# Fleets.
f = emr.run_job_flow(**dict(ask(), Name="fleets", Instances={"KeepJobFlowAliveWhenNoSteps": True, "Ec2SubnetIds": ["subnet-1", "subnet-2"], "InstanceFleets": [
    {"InstanceFleetType": "MASTER", "TargetOnDemandCapacity": 1, "InstanceTypeConfigs": [{"InstanceType": "m5.xlarge"}]},
    {"InstanceFleetType": "CORE", "TargetOnDemandCapacity": 2, "TargetSpotCapacity": 4, "InstanceTypeConfigs": [{"InstanceType": "m5.2xlarge", "WeightedCapacity": 2, "BidPriceAsPercentageOfOnDemandPrice": 100.0}],
     "LaunchSpecifications": {"SpotSpecification": {"TimeoutDurationMinutes": 10, "TimeoutAction": "SWITCH_TO_ON_DEMAND"}}}]}))["JobFlowId"]
emr.get_waiter("cluster_running").wait(ClusterId=f, WaiterConfig=fast)
fleets = emr.list_instance_fleets(ClusterId=f)["InstanceFleets"]
assert [(x["InstanceFleetType"], x["ProvisionedOnDemandCapacity"], x["ProvisionedSpotCapacity"]) for x in fleets] == [("MASTER", 1, 0), ("CORE", 2, 4)], fleets
emr.modify_instance_fleet(ClusterId=f, InstanceFleet={"InstanceFleetId": fleets[1]["Id"], "TargetSpotCapacity": 0})
emr.add_instance_fleet(ClusterId=f, InstanceFleet={"InstanceFleetType": "TASK", "TargetSpotCapacity": 1, "InstanceTypeConfigs": [{"InstanceType": "c5.xlarge"}]})
assert [x["ProvisionedSpotCapacity"] for x in emr.list_instance_fleets(ClusterId=f)["InstanceFleets"]] == [0, 0, 1]
assert len(emr.list_instances(ClusterId=f, InstanceFleetType="CORE", InstanceStates=["RUNNING"])["Instances"]) == 1
assert emr.describe_cluster(ClusterId=f)["Cluster"]["Ec2InstanceAttributes"]["RequestedEc2SubnetIds"] == ["subnet-1", "subnet-2"]
emr.set_keep_job_flow_alive_when_no_steps(JobFlowIds=[f], KeepJobFlowAliveWhenNoSteps=False)
emr.get_waiter("cluster_terminated").wait(ClusterId=f, WaiterConfig=fast)
emr.terminate_job_flows(JobFlowIds=[j, f])
emr.get_waiter("cluster_terminated").wait(ClusterId=j, WaiterConfig=fast)
fails("ValidationException", "may not be modified", emr.add_job_flow_steps, JobFlowId=j, Steps=[bash("true")])
fails("InvalidRequestException", "Tags cannot be modified", emr.add_tags, ResourceId=j, Tags=[{"Key": "a", "Value": "b"}])

# Clusters, over more than a page.
made = [emr.run_job_flow(**dict(ask(), Name=f"n{i}", Instances={"MasterInstanceType": "m5.xlarge", "SlaveInstanceType": "m5.xlarge", "InstanceCount": 3, "KeepJobFlowAliveWhenNoSteps": False}))["JobFlowId"] for i in range(60)]
listed = [c["Id"] for page in emr.get_paginator("list_clusters").paginate() for c in page["Clusters"]]
assert listed == made[::-1] + [f, many, j], listed
assert [len(p["Clusters"]) for p in emr.get_paginator("list_clusters").paginate(CreatedAfter=NOW)] == [50, 13]
emr.get_waiter("cluster_terminated").wait(ClusterId=made[-1], WaiterConfig=fast)
assert not [c for page in emr.get_paginator("list_clusters").paginate(ClusterStates=["WAITING", "RUNNING"]) for c in page["Clusters"]]
assert not emr.list_clusters(CreatedBefore=NOW)["Clusters"]
assert not boto3.client("emr", region_name="ap-south-1").list_clusters()["Clusters"]

# What belongs to no cluster.
emr.create_security_configuration(Name="sc", SecurityConfiguration="{}")
assert emr.describe_security_configuration(Name="sc")["SecurityConfiguration"] == "{}"
assert [s["Name"] for s in emr.list_security_configurations()["SecurityConfigurations"]] == ["sc"]
emr.delete_security_configuration(Name="sc")
fails("InvalidRequestException", "does not exist", emr.describe_security_configuration, Name="sc")
emr.put_block_public_access_configuration(BlockPublicAccessConfiguration={"BlockPublicSecurityGroupRules": False})
assert emr.get_block_public_access_configuration()["BlockPublicAccessConfiguration"] == {"BlockPublicSecurityGroupRules": False}
assert emr.list_release_labels(Filters={"Prefix": "emr-7", "Application": "spark@3.5.6"})["ReleaseLabels"] == ["emr-7.13.0", "emr-7.12.0", "emr-7.11.0"]
assert emr.describe_release_label(ReleaseLabel="emr-7.13.0")["Applications"] == [{"Name": "Spark", "Version": "3.5.6"}]
assert emr.list_supported_instance_types(ReleaseLabel="emr-7.13.0")["SupportedInstanceTypes"][0]["Type"] == "m5.xlarge"
fails("ValidationException", "not built into tidemill local", emr.list_studios)

import urllib.request
import botocore.auth, botocore.awsrequest, botocore.session


def raw(operation, body):
    """DescribeJobFlows is no longer in boto3's client."""
    s = botocore.session.get_session()
    r = botocore.awsrequest.AWSRequest("POST", emr.meta.endpoint_url, data=json.dumps(body).encode(), headers={"X-Amz-Target": "ElasticMapReduce." + operation, "Content-Type": "application/x-amz-json-1.1"})
    botocore.auth.SigV4Auth(s.get_credentials(), "elasticmapreduce", emr.meta.region_name).add_auth(r)
    return json.load(urllib.request.urlopen(urllib.request.Request(r.url, r.body, dict(r.headers), method="POST")))


flows = raw("DescribeJobFlows", {"JobFlowIds": [j]})
hold(flows, emr.meta.service_model.operation_model("DescribeJobFlows").output_shape, "DescribeJobFlows")
assert flows["JobFlows"][0]["ExecutionStatusDetail"]["State"] == "TERMINATED"

# Secrets.
sm, ssm = boto3.client("secretsmanager"), boto3.client("ssm")
for client in (sm, ssm):
    client.meta.events.register("after-call", check)
arn = sm.create_secret(Name="prod/warehouse", SecretString="pw")["ARN"]
assert sm.get_secret_value(SecretId="prod/warehouse")["SecretString"] == "pw" == sm.get_secret_value(SecretId=arn)["SecretString"]
fails("ResourceExistsException", "already exists", sm.create_secret, Name="prod/warehouse", SecretString="pw")
sm.put_secret_value(SecretId="prod/warehouse", SecretBinary=b"\x00\x01")
assert sm.get_secret_value(SecretId=arn[:-7])["SecretBinary"] == b"\x00\x01"
sm.describe_secret(SecretId=arn)
sm.delete_secret(SecretId=arn, ForceDeleteWithoutRecovery=True)
fails("ResourceNotFoundException", "can't find", sm.get_secret_value, SecretId=arn)
ssm.put_parameter(Name="/prod/token", Value="t", Type="SecureString")
fails("ParameterAlreadyExists", "already exists", ssm.put_parameter, Name="/prod/token", Value="t", Type="SecureString")
assert ssm.put_parameter(Name="/prod/token", Value="u", Overwrite=True)["Version"] == 2
p = ssm.get_parameter(Name="/prod/token", WithDecryption=True)["Parameter"]
assert (p["Value"], p["Type"], p["Version"]) == ("u", "SecureString", 2), p
assert ssm.get_parameter(Name="/prod/token")["Parameter"]["Value"] != "u"
assert ssm.get_parameters(Names=["/prod/token", "none"])["InvalidParameters"] == ["none"]
ssm.delete_parameter(Name="/prod/token")
fails("ParameterNotFound", "", ssm.get_parameter, Name="/prod/token")

print("\n".join(sorted(seen | {"DescribeJobFlows"})))
